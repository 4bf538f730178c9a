from __future__ import annotations

import pytest

from bedplate.kernel.errors import StepNotAllowed
from bedplate.operations.migrate.allowed import allowed

ALLOWED = (
    "create unique index concurrently x on t (a)",
    'CREATE INDEX CONCURRENTLY IF NOT EXISTS "Odd; name" ON "S".t USING gin (a) WHERE b = \';\'',
    "CREATE INDEX CONCURRENTLY x ON t (a);",
    "DROP INDEX CONCURRENTLY IF EXISTS s.x",
    "REINDEX INDEX CONCURRENTLY s.x",
    "REINDEX TABLE CONCURRENTLY s.t",
    "ALTER TABLE ONLY s.t DETACH PARTITION s.p CONCURRENTLY",
    "ALTER TABLE s.t DETACH PARTITION s.p FINALIZE",
    "ALTER TABLE s.t VALIDATE CONSTRAINT c",
    "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a IN (1, 2)) NOT VALID",
    "ALTER TABLE s.t ADD CONSTRAINT c FOREIGN KEY (a, b) REFERENCES u (a, b) NOT VALID",
    "ALTER TABLE s.t DROP CONSTRAINT IF EXISTS c RESTRICT",
    'ALTER TABLE s.t ADD CONSTRAINT "Once" UNIQUE USING INDEX "Once"',
    "ALTER TABLE s.t ALTER COLUMN a SET NOT NULL",
    "ALTER TABLE s.t ALTER a DROP NOT NULL",
    "ALTER TYPE s.e ADD VALUE 'x;y' AFTER 'it''s'",
)
REFUSED = (
    "",
    "-- CREATE INDEX CONCURRENTLY x ON t (a)",
    "CREATE INDEX x ON t (a)",
    "CREATE INDEX CONCURRENTLY ON t (a)",
    'CREATE INDEX "CONCURRENTLY" ON t (a)',
    "CREATE INDEX /* CONCURRENTLY */ x ON t (a)",
    "CREATE INDEX CONCURRENTLY x ON t (a); DELETE FROM t",
    "CREATE INDEX CONCURRENTLY x ON t (a) /* ; */ ; ; DROP TABLE t",
    "CREATE INDEX CONCURRENTLY x ON t ((E'\\'')) ; DROP TABLE t --')",
    "CREATE INDEX CONCURRENTLY x ON t ('never closed)",
    "CREATE INDEX CONCURRENTLY x ON t (a) /* never /* closed */",
    "DO $$ BEGIN CREATE INDEX CONCURRENTLY x ON t (a); END $$",
    "EXPLAIN ANALYZE CREATE INDEX CONCURRENTLY x ON t (a)",
    "DROP INDEX x",
    "DROP INDEX CONCURRENTLY x, y",
    "DROP INDEX CONCURRENTLY x CASCADE",
    "REINDEX SYSTEM CONCURRENTLY d",
    "REINDEX (CONCURRENTLY) TABLE t",
    "ALTER TABLE t DETACH PARTITION p",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID, DROP COLUMN b, ALTER c SET NOT VALID",
    "ALTER TABLE t ADD CHECK (a > 0) NOT VALID",
    "ALTER TABLE t VALIDATE CONSTRAINT c, DROP COLUMN b",
    "ALTER TABLE t ADD CONSTRAINT c UNIQUE (a)",
    "ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i",
    "ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX c DEFERRABLE",
    "ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX c",
    "ALTER TABLE t DROP CONSTRAINT c CASCADE",
    "ALTER TABLE t DROP CONSTRAINT c, DROP COLUMN a",
    "ALTER TABLE t DROP COLUMN a",
    "ALTER TABLE t ALTER a SET NOT NULL, ALTER b TYPE bigint",
    "ALTER TABLE t ALTER a SET DEFAULT 1",
    "ALTER TABLE t ALTER a DROP DEFAULT",
    "ALTER TABLE t ADD COLUMN a int",
    "ALTER TYPE e ADD VALUE 'x', ADD VALUE 'y'",
    "ALTER TYPE e RENAME VALUE 'x' TO 'y'",
    "SET lock_timeout = 0",
    "BEGIN",
    "VACUUM t",
    "UPDATE t SET a = 1",
    "SELECT pg_sleep(1)",
    "CALL p()",
)


@pytest.mark.parametrize("text", ALLOWED)
def test_the_list_allows(text: str) -> None:
    assert allowed(text).text == text


@pytest.mark.parametrize("text", REFUSED)
def test_the_list_refuses_before_anything_is_sent(text: str) -> None:
    with pytest.raises(StepNotAllowed) as refusal:
        allowed(text)
    assert "revision of its own" in str(refusal.value) or "by itself" in str(refusal.value)
