"""The way back as an operator meets it: what is lost, and what stays as it is, is said."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from bedplate.cli.main import run
from tests.databases import TestDatabase

MODULE = """
from bedplate.kernel.module import ModuleManifest
MODULE = ModuleManifest(name='shelves', package='corner.shelves', models=())
"""
LINE = {
    "0001_planks": """
down_revision = None

def upgrade():
    op.execute("CREATE TABLE shelves.planks (id int PRIMARY KEY, cm int)")

def downgrade():
    op.execute("DROP TABLE shelves.planks")
""",
    "0002_lengths": """
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.footprint import Footprint

down_revision = "0001_planks"
transactional = False
touches = Footprint(rows=["shelves.planks"])
LENGTHS = Backfill(table="shelves.planks", set={"cm": "0"})

def upgrade():
    LENGTHS.run()

def downgrade():
    LENGTHS.undo()
""",
}
APPLY = ("migrate", "apply", "--without-proof", "--no-backup", "--json")


@pytest.fixture
def planks(database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestDatabase:
    """A project whose module has filled the lengths of three planks."""
    monkeypatch.setenv("DATABASE_URL", database.app_url)
    monkeypatch.setenv("DATABASE_OWNER_URL", database.owner_url)
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "corner" / "shelves"
    (package / "migrations").mkdir(parents=True)
    (tmp_path / "corner" / "__init__.py").write_text("")
    (package / "__init__.py").write_text(MODULE)
    (tmp_path / "bedplate.toml").write_text('modules = ["corner.shelves"]\n')
    for name, body in LINE.items():
        (package / "migrations" / f"{name}.py").write_text(
            f"from alembic import op\nrevision = {name!r}\n{body}"
        )
        assert run(APPLY) == 0
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("INSERT INTO shelves.planks VALUES (1), (2), (3) ON CONFLICT DO NOTHING")
    return database


@pytest.mark.usefixtures("forgetting")
def test_rows_that_a_way_back_leaves_as_they_are_are_named(
    planks: TestDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(planks.owner_url) as owner:
        owner.execute("UPDATE shelves.planks SET cm = 80 WHERE id = 2")
    capfd.readouterr()
    assert run(["migrate", "undo", "shelves", "--yes", "--json"]) == 0
    told = capfd.readouterr()
    document = json.loads(told.out)
    assert document["undone"] == ["0002_lengths"]
    assert document["module"]["current"] == "0001_planks"
    assert document["kept"] == [{"backfill": "shelves.planks (cm)", "rows": 1, "keys": [["2"]]}]
    assert "1 rows were changed since and stay as they are: 2" in told.err
    assert run(["migrate", "undo", "shelves", "--all", "--yes", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["undone"], document["kept"]) == (["0001_planks"], [])
