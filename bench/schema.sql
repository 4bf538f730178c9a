-- The bench's own tables. Times are written by the clients, to the millisecond,
-- because Prisma reads no finer: so every contestant can be asked for equal answers.
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;

CREATE TYPE bench.account_kind AS ENUM ('PERSON', 'COMPANY', 'PARTNER');

CREATE TABLE bench.account (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text,
    is_active boolean NOT NULL,
    kind bench.account_kind NOT NULL,
    balance numeric(12, 2) NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE bench.profile (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL UNIQUE REFERENCES bench.account (id) ON DELETE CASCADE,
    bio text NOT NULL,
    locale text NOT NULL,
    settings jsonb NOT NULL
);

CREATE TABLE bench.entry (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES bench.account (id) ON DELETE CASCADE,
    amount numeric(12, 2) NOT NULL,
    note text,
    created_at timestamptz NOT NULL
);

CREATE TABLE bench.event (
    id uuid NOT NULL,
    tenant uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    payload text NOT NULL
);

-- The target of the bulk load, emptied before every run.
CREATE TABLE bench.reading (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind bench.account_kind NOT NULL,
    amount numeric(12, 2) NOT NULL,
    note text
);

-- A version 7 UUID whose time part is `instant` and whose rest is drawn from `seed`.
CREATE FUNCTION bench.key(instant timestamptz, seed text) RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (
        lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(seed), 1, 3) || '8' || substr(md5(seed), 4, 15)
    )::uuid
$$;
