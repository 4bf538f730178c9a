from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bedplate.kernel import registry as registries
from bedplate.kernel.errors import MigrationFailed
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import Finding, Linter, squawk_program
from bedplate.operations.migrate.lint import lint
from tests.operations.fake_module import FakeModule, shop

# One statement to be found for each rule, and its safe neighbours that must not be.
HAZARDS: tuple[tuple[str, str, str], ...] = (
    ("volatile-default", "error", "ALTER TABLE s.t ADD a uuid DEFAULT gen_random_uuid()"),
    ("volatile-default", "error", "ALTER TABLE s.t ADD COLUMN a bigserial"),
    ("volatile-default", "error", "ALTER TABLE s.t ADD a int GENERATED ALWAYS AS IDENTITY"),
    ("type-change", "error", "ALTER TABLE s.t ALTER COLUMN a SET DATA TYPE bigint"),
    ("type-change", "warning", "ALTER TABLE s.t ALTER a TYPE text"),
    ("not-null", "error", "ALTER TABLE s.t ALTER a SET NOT NULL"),
    ("not-null", "error", "ALTER TABLE s.t ADD a int NOT NULL"),
    ("unvalidated-constraint", "error", "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0)"),
    ("unvalidated-constraint", "error", "ALTER TABLE s.t ADD FOREIGN KEY (a) REFERENCES s.u (a)"),
    ("blocking-index", "error", "CREATE UNIQUE INDEX i ON ONLY s.t (a)"),
    ("blocking-index", "error", "REINDEX TABLE s.t"),
    ("blocking-index", "warning", "DROP INDEX s.i"),
    ("rename", "error", "ALTER TABLE IF EXISTS s.t RENAME a TO b"),
    ("rename", "error", "ALTER TABLE s.t SET SCHEMA u"),
    ("drop", "error", "ALTER TABLE s.t DROP COLUMN a"),
    ("drop", "error", "ALTER TABLE s.t ADD b int, DROP a"),
    ("drop", "error", "DROP TABLE s.new, s.t"),
    ("cascade", "error", "DROP TYPE s.e CASCADE"),
    ("enum-label", "error", "ALTER TYPE s.e RENAME VALUE 'a' TO 'b'"),
    ("enum-label", "error", "DELETE FROM pg_catalog.pg_enum WHERE enumlabel = 'a'"),
    ("lock-order", "warning", "ALTER TABLE s.u ADD a int; ALTER TABLE s.t ADD a int"),
    ("truncate", "error", "TRUNCATE TABLE ONLY s.t"),
    ("unbounded-write", "error", "UPDATE s.t SET a = (SELECT 1 WHERE true)"),
    ("unbounded-write", "warning", "DELETE FROM s.t WHERE a = 1"),
    ("persistence", "error", "ALTER TABLE s.t SET UNLOGGED"),
    ("full-rewrite", "error", "VACUUM (FULL, ANALYZE) s.t"),
    ("full-rewrite", "error", "CLUSTER s.t USING i"),
    ("full-rewrite", "error", "ALTER TABLE s.t SET TABLESPACE fast"),
    ("exclusion-constraint", "error", "ALTER TABLE s.t ADD CONSTRAINT c EXCLUDE (a WITH =)"),
    ("unique-constraint", "error", "ALTER TABLE s.t ADD PRIMARY KEY (a)"),
    ("unique-constraint", "error", "ALTER TABLE s.t ADD CONSTRAINT c UNIQUE (a)"),
    ("view-change", "warning", "CREATE OR REPLACE VIEW s.v AS SELECT 1"),
    ("view-change", "error", "REFRESH MATERIALIZED VIEW s.v"),
    ("if-not-exists", "error", "CREATE TABLE IF NOT EXISTS s.fresh (a int)"),
    ("if-not-exists", "error", "ALTER TABLE s.t ADD COLUMN IF NOT EXISTS a int"),
    ("timeouts", "error", "SET LOCAL lock_timeout = 0"),
    ("timeouts", "error", "SELECT pg_catalog.set_config('statement_timeout', '0', true)"),
    ("replication-role", "error", "SET session_replication_role = 'replica'"),
    ("replication-role", "error", "ALTER TABLE s.t DISABLE TRIGGER ALL"),
    ("stored-generated", "error", "ALTER TABLE s.t ADD a int GENERATED ALWAYS AS (b + 1) STORED"),
    ("transaction-control", "error", "COMMIT"),
    ("concurrently", "error", "CREATE INDEX CONCURRENTLY i ON s.t (a)"),
    ("attach-partition", "warning", "ALTER TABLE s.t ATTACH PARTITION s.p FOR VALUES IN (1)"),
    ("detach-partition", "error", "ALTER TABLE s.t DETACH PARTITION s.p"),
    (
        "held-validation",
        "error",
        "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"
        " ALTER TABLE s.t VALIDATE CONSTRAINT c",
    ),
    ("hidden-code", "warning", "DO $$ BEGIN DROP TABLE s.t; END $$"),
)
HARMLESS = (
    "CREATE TABLE s.new (a int PRIMARY KEY, b text NOT NULL DEFAULT md5('x'), CHECK (a > 0))",
    "CREATE TABLE s.new (a int); CREATE INDEX i ON s.new (a); ALTER TABLE s.new ADD UNIQUE (a)",
    "CREATE UNLOGGED TABLE s.new (a int); ALTER TABLE s.new SET LOGGED; DROP TABLE s.new",
    "CREATE TABLE s.new (a int); UPDATE s.new SET a = 1; TRUNCATE s.new",
    "ALTER TABLE s.t ADD a int DEFAULT 7",
    "ALTER TABLE s.t ADD a int NOT NULL DEFAULT 7",
    "ALTER TABLE s.t ADD a timestamptz DEFAULT bedplate.now()",
    "ALTER TABLE s.t ALTER a SET DEFAULT gen_random_uuid()",
    "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a IN (1, 2)) NOT VALID",
    "ALTER TABLE s.t ADD CONSTRAINT c UNIQUE USING INDEX i",
    "ALTER TABLE s.t DROP CONSTRAINT c",
    "ALTER TABLE s.t ALTER a DROP NOT NULL, ALTER a DROP DEFAULT",
    "ALTER TABLE s.t RENAME CONSTRAINT a TO b",
    "COMMENT ON TABLE s.t IS 'TRUNCATE s.t; DROP TABLE s.t CASCADE'",
    "INSERT INTO s.t SELECT 'UPDATE s.t SET a = 1'",
    'ALTER TABLE s.t ADD "drop" int',
    "ALTER TABLE s.t VALIDATE CONSTRAINT c",
    "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"
    " ALTER TABLE s.t VALIDATE CONSTRAINT d",
    "CREATE TABLE s.new (a int); ALTER TABLE s.new ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"
    " ALTER TABLE s.new VALIDATE CONSTRAINT c; ALTER TABLE s.new DETACH PARTITION s.p",
    "LOCK TABLE s.t, s.u IN SHARE MODE; ALTER TABLE s.t ADD a int; ALTER TABLE s.u ADD a int",
    "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "CREATE VIEW s.v AS SELECT 1",
    "ALTER TYPE s.e ADD VALUE 'a'",
    "GRANT SELECT ON s.t TO app",
    "'never closed",
)


@pytest.mark.parametrize(("rule", "severity", "statement"), HAZARDS)
def test_a_hazard_is_found_with_its_reason_and_the_safe_way(
    rule: str, severity: str, statement: str
) -> None:
    found = lint([statement], ["s.t", "s.u", "s.p"])
    assert [(finding.rule, finding.severity) for finding in found] == [(rule, severity)]
    assert found[0].statement in statement
    assert len(found[0].reason) > 20
    assert len(found[0].recipe) > 20


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_is_safe_is_not_found(statement: str) -> None:
    assert lint([statement]) == ()


def test_tables_that_nobody_uses_yet_are_exempt() -> None:
    for rule, _, statement in HAZARDS:
        about_table = lint([statement], ["s.t", "s.u", "s.p"]) and not lint([statement], [])
        rules_without_table = {
            *("blocking-index", "cascade", "enum-label", "view-change", "if-not-exists"),
            *("timeouts", "replication-role", "transaction-control", "concurrently"),
            *("hidden-code", "full-rewrite"),
        }
        assert about_table or rule in rules_without_table, statement


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a)",
        "ALTER TABLE s.t DETACH PARTITION s.p CONCURRENTLY",
        "ALTER TABLE s.t DETACH PARTITION s.p FINALIZE",
        "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;"
        " ALTER TABLE s.t VALIDATE CONSTRAINT c; ALTER TABLE s.t ALTER a SET NOT NULL;"
        " ALTER TABLE s.t DROP CONSTRAINT c",
    ],
)
def test_outside_of_a_transaction_the_safe_way_is_as_it_should_be(statement: str) -> None:
    assert lint([statement], transactional=False) == ()


@pytest.fixture
def linter(tmp_path: Path) -> Callable[..., tuple[Finding, ...]]:
    module: FakeModule = shop(tmp_path)

    def look(*bodies: str) -> tuple[Finding, ...]:
        for number, body in enumerate(bodies, 3):
            module.add(f"{number:04}_more", body)
        found = Linter(registry=Registry([module.manifest()]), bindings={})
        line = found.registry.lines[-1]
        return found.together(line, line.revisions[2:])

    return look


def test_a_lines_revisions_are_read_without_a_server(
    linter: Callable[..., tuple[Finding, ...]],
) -> None:
    found = linter(
        "def upgrade():\n"
        '    op.create_index("ix", "items", ["price"], schema="shop")\n'
        '    op.add_column("items", sa.Column("x", sa.Uuid, nullable=False), schema="shop")\n'
        '    op.create_table("new", sa.Column("id", sa.Uuid), schema="shop")\n'
        '    op.create_index("ix_new", "new", ["id"], schema="shop")\n',
        "from bedplate.kernel.backfills import Backfill\n"
        "transactional = False\n"
        "def upgrade():\n"
        '    Backfill(table="shop.items", set={"x": "id"}).run()\n'
        '    op.create_index("ix2", "new", ["id"], schema="shop")\n'
        '    op.create_index("ix3", "items", ["id"], schema="shop", postgresql_concurrently=True)\n'
        "def downgrade(): ...\n",
        "def upgrade():\n    op.get_bind().execute(sa.text('SELECT 1')).scalar_one()\n"
        "def downgrade(): ...\n",
    )
    assert [(each.revision, each.severity, each.rule) for each in found] == [
        ("0003_more", "error", "missing-downgrade"),
        ("0003_more", "error", "blocking-index"),
        ("0003_more", "error", "not-null"),
        ("0005_more", "warning", "unreadable"),
    ]


def test_a_broken_file_is_an_error_and_no_finding(
    linter: Callable[..., tuple[Finding, ...]],
) -> None:
    with pytest.raises(MigrationFailed, match="SyntaxError"):
        linter("def upgrade(:\n")


def test_our_own_lines_have_no_errors() -> None:
    linter = Linter(registry=registries.load(["auth", "credits"]), bindings={})
    found = [each for line in linter.registry.lines for each in linter.alone(line)]
    assert [each for each in found if each.severity == "error"] == []


SQUAWK = """#!/bin/sh
cat > "$0.asked"
echo '[{"line": 1, "rule_name": "ban-char-field", "message": "No char.", "help": null},
 {"line": 0, "rule_name": "ban-drop-column", "message": "Ours.", "help": "x"},
 {"line": 0, "rule_name": "prefer-robust-stmts", "message": "Taste.", "help": "x"}]'
exit 1
"""


def test_squawks_rules_come_beside_ours_and_ours_win(tmp_path: Path) -> None:
    squawk = tmp_path / "squawk"
    squawk.write_text(SQUAWK)
    squawk.chmod(0o755)
    found = lint(["ALTER TABLE s.t DROP a -- why\n; SELECT 1"], squawk_at=str(squawk))
    assert [(each.origin, each.rule, each.severity) for each in found] == [
        ("bedplate", "drop", "error"),
        ("squawk", "ban-char-field", "warning"),
    ]
    assert "squawkhq.com" in found[1].recipe
    assert Path(f"{squawk}.asked").read_text() == "ALTER TABLE s.t DROP a\n;\nSELECT 1\n;"
    squawk.write_text("#!/bin/sh\necho no\n")
    with pytest.raises(MigrationFailed, match="--no-squawk"):
        lint(["SELECT 1"], squawk_at=str(squawk))


@pytest.mark.skipif(squawk_program() is None, reason="squawk is not installed")
def test_the_real_squawk_is_understood() -> None:
    found = lint(["CREATE TABLE s.new (a char(3))"], squawk_at=squawk_program())
    assert [(each.origin, each.rule) for each in found] == [("squawk", "ban-char-field")]
