"""Make the bench's tables, fill them, and pick the keys that are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

SCHEMA = Path(__file__).with_name("schema.sql")
SAMPLE_KEYS = 2_000
PAGE_ROWS = 50
DEPTH = 0.9
DEEP_MARKS = 20
ENTRIES_PER_ACCOUNT = 20

_ACCOUNTS = """
    INSERT INTO bench.account
    SELECT bench.key(at, 'account' || n), 'person' || n || '@example.com',
           CASE WHEN n %% 10 = 0 THEN NULL ELSE 'Person ' || n END, n %% 7 <> 0,
           (ARRAY['PERSON', 'COMPANY', 'PARTNER'])[1 + n %% 3]::bench.account_kind,
           (n %% 100000) / 100.0, at, at + interval '1 day'
    FROM (
        SELECT n, timestamptz '2026-01-01 00:00:00+00' + n * interval '61.007 seconds' AS at
        FROM generate_series(1, %(accounts)s) AS n
    ) AS numbered
"""
_PROFILES = """
    INSERT INTO bench.profile
    SELECT bench.key(created_at, 'profile' || email), id, 'Writes about ' || repeat(email, 3),
           (ARRAY['en', 'de', 'fr', 'ja'])[1 + length(email) % 4],
           jsonb_build_object('theme', 'dark', 'columns', length(email),
                              'alerts', jsonb_build_array('email', 'push'))
    FROM bench.account
"""
# Entries are laid down day by day, as time would have done, so that one account's
# last ten lie on ten different pages of the table.
_ENTRIES = """
    INSERT INTO bench.entry
    SELECT bench.key(at, 'entry' || day || email), id, (day * 137 %% 5000) / 100.0,
           CASE WHEN day %% 3 = 0 THEN NULL ELSE 'Entry of day ' || day END, at
    FROM (
        SELECT account.id, account.email, day,
               account.created_at + day * interval '1 day' AS at
        FROM generate_series(1, %(per_account)s) AS day, bench.account
        ORDER BY day, account.id
    ) AS daily
"""
_EVENTS = """
    INSERT INTO bench.event
    SELECT bench.key(at, 'event' || n), bench.key('2026-01-01 00:00:00+00', 'tenant' || n %% 500),
           at, 'payload ' || n || ' ' || repeat(md5(n::text), 3)
    FROM (
        SELECT n, timestamptz '2026-01-01 00:00:00+00' + n * interval '7.301 seconds' AS at
        FROM generate_series(1, %(events)s) AS n
    ) AS numbered
"""
_INDEXES = (
    "CREATE INDEX ix_entry_account ON bench.entry (account_id, created_at DESC, id DESC)",
    "ALTER TABLE bench.event ADD PRIMARY KEY (id)",
    "CREATE INDEX ix_event_order ON bench.event (occurred_at DESC, id DESC)",
)
_TABLES = ("account", "profile", "entry", "event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """How many rows each table gets."""

    accounts: int
    events: int
    bulk_rows: int


FULL = Volumes(accounts=20_000, events=2_000_000, bulk_rows=200_000)
QUICK = Volumes(accounts=5_000, events=200_000, bulk_rows=20_000)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the contestants are asked for, in JSON's own types."""

    accounts: list[str]
    marks: list[dict[str, str | int]]


def load(owner_url: str, app_role: str | None, volumes: Volumes) -> None:
    """Make the schema and fill it; grant the app's role what it needs."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute(SCHEMA.read_bytes())
        connection.execute(_ACCOUNTS, {"accounts": volumes.accounts})
        connection.execute(_PROFILES)
        connection.execute(_ENTRIES, {"per_account": ENTRIES_PER_ACCOUNT})
        connection.execute(_EVENTS, {"events": volumes.events})
        for statement in _INDEXES:
            connection.execute(statement)
        for table in _TABLES:
            connection.execute(sql.SQL("VACUUM (ANALYZE) bench.{}").format(sql.Identifier(table)))
        if app_role is not None:
            _grant(connection, app_role)


def _grant(connection: psycopg.Connection, app_role: str) -> None:
    for statement in (
        "GRANT USAGE ON SCHEMA bench TO {}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bench TO {}",
    ):
        connection.execute(sql.SQL(statement).format(sql.Identifier(app_role)))


def pick_keys(owner_url: str) -> Keys:
    """Pick account keys spread over the table, and marks around the deep page."""
    with psycopg.connect(owner_url) as connection:
        accounts = connection.execute(
            "SELECT id::text FROM bench.account ORDER BY md5(id::text) LIMIT %s", [SAMPLE_KEYS]
        ).fetchall()
        (events,) = connection.execute("SELECT count(*) FROM bench.event").fetchall()[0]
        first = int(events * DEPTH)
        rows = connection.execute(
            "SELECT occurred_at, id::text FROM bench.event"
            " ORDER BY occurred_at DESC, id DESC OFFSET %s LIMIT %s",
            [first - 1, DEEP_MARKS],
        ).fetchall()
    marks: list[dict[str, str | int]] = [
        {"occurred_at": at.isoformat(), "id": key, "offset": first + place}
        for place, (at, key) in enumerate(rows)
    ]
    return Keys([key for (key,) in accounts], marks)


def empty_readings(owner_url: str) -> None:
    """Empty the bulk load's target."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("TRUNCATE bench.reading")


def count_readings(owner_url: str) -> tuple[int, str]:
    """Return the rows of the bulk load's target and the sum of their amounts."""
    with psycopg.connect(owner_url) as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(sum(amount), 0)::text FROM bench.reading"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def forget_created(owner_url: str) -> None:
    """Delete the accounts that the create rounds made."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("DELETE FROM bench.account WHERE email LIKE 'created-%'")
        connection.execute("VACUUM (ANALYZE) bench.account")
