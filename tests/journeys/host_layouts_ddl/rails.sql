-- What Rails 7 and 8 write for a users table made by Devise (`rails db:migrate`; the same is in
-- db/structure.sql), the two tables that Active Record keeps for itself, and rows.

CREATE TABLE "schema_migrations" ("version" character varying NOT NULL PRIMARY KEY);
CREATE TABLE "ar_internal_metadata" (
    "key" character varying NOT NULL PRIMARY KEY,
    "value" character varying,
    "created_at" timestamp(6) NOT NULL,
    "updated_at" timestamp(6) NOT NULL
);
CREATE TABLE "users" (
    "id" bigserial primary key,
    "email" character varying DEFAULT '' NOT NULL,
    "encrypted_password" character varying DEFAULT '' NOT NULL,
    "reset_password_token" character varying,
    "reset_password_sent_at" timestamp(6),
    "remember_created_at" timestamp(6),
    "name" character varying,
    "created_at" timestamp(6) NOT NULL,
    "updated_at" timestamp(6) NOT NULL
);
CREATE UNIQUE INDEX "index_users_on_email" ON "users" ("email");
CREATE UNIQUE INDEX "index_users_on_reset_password_token" ON "users" ("reset_password_token");
CREATE TABLE "posts" (
    "id" bigserial primary key,
    "title" character varying,
    "user_id" bigint NOT NULL,
    "created_at" timestamp(6) NOT NULL,
    "updated_at" timestamp(6) NOT NULL,
    CONSTRAINT "fk_rails_5b5ddfd518" FOREIGN KEY ("user_id") REFERENCES "users" ("id")
);
CREATE INDEX "index_posts_on_user_id" ON "posts" ("user_id");

INSERT INTO "schema_migrations" VALUES ('20260101000000'), ('20260101000001');
INSERT INTO "ar_internal_metadata" VALUES
    ('environment', 'production', '2026-01-01', '2026-01-01'),
    ('schema_sha1', '5f0c3b3e7e0c0d6a1b2c3d4e5f60718293a4b5c6', '2026-01-01', '2026-01-01');
INSERT INTO "users" ("email", "name", "created_at", "updated_at") VALUES
    ('ada@example.com', 'Ada', '2026-01-01', '2026-01-01'),
    ('grace@example.com', 'Grace', '2026-01-02', '2026-01-02'),
    ('tony@example.com', NULL, '2026-01-03', '2026-01-03');
INSERT INTO "posts" ("title", "user_id", "created_at", "updated_at") VALUES
    ('On engines', 1, '2026-01-04', '2026-01-04');
