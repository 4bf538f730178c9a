"""What a migration's receipt costs in a database of many tables."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import psycopg

from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import Receipt, apply_unproven

PACKAGE = "bench_receipts"
REVISIONS = 12
"""The first makes the schema and is not counted; each of the others adds one table."""

REVISION = """
from alembic import op

revision = "{name}"
down_revision = {before!r}


def upgrade():
    op.execute("CREATE TABLE {schema}.{name} (id int PRIMARY KEY)")
"""
TABLES = """
DO $$ BEGIN FOR i IN {first}..{last} LOOP EXECUTE pg_catalog.format(
    'CREATE TABLE bench_many.t%s (id uuid PRIMARY KEY, a int NOT NULL, b text, c text,'
    ' d timestamptz, e numeric DEFAULT 0, f jsonb, g int, h bool, i text)', i);
END LOOP; END $$
"""
BATCH = 200


def measure(owner_url: str, tables: int) -> float:
    """Return the milliseconds of a revision's witnesses beside `tables` tables of ten columns.

    The median of eleven revisions, each adding a table over a connection of its own, whose
    catalog caches are cold; the tables are dropped at the end.
    """
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bench_many")
        for first in range(0, tables, BATCH):
            last = min(first + BATCH, tables) - 1
            connection.execute(TABLES.format(first=first, last=last).encode())
        try:
            return _revisions(owner_url, f"many{tables}")
        finally:
            for first in range(0, tables, BATCH):
                names = (f"bench_many.t{n}" for n in range(first, min(first + BATCH, tables)))
                connection.execute(f"DROP TABLE {', '.join(names)}".encode())
            connection.execute("DROP SCHEMA bench_many")


def _revisions(owner_url: str, schema: str) -> float:
    receipts: list[Receipt] = []
    with tempfile.TemporaryDirectory(prefix="bedplate-bench-receipts-") as folder:
        package = f"{PACKAGE}_{schema}"
        line = Path(folder, package, "migrations")
        line.mkdir(parents=True)
        Path(folder, package, "__init__.py").touch()
        before: str | None = None
        for number in range(1, REVISIONS + 1):
            name = f"{number:04}_more"
            text = REVISION.format(name=name, before=before, schema=schema)
            line.joinpath(f"{name}.py").write_text(text.replace(f".{name} (", f".t{number} ("))
            before = name
        sys.path.append(folder)
        try:
            module = ModuleManifest(name=schema, package=package, models=())
            apply_unproven(Registry([module]), owner_url=owner_url, on_receipt=receipts.append)
        finally:
            sys.path.remove(folder)
    counted = [each.receipt_ms for each in receipts if each.module == schema][1:]
    return statistics.median(counted)
