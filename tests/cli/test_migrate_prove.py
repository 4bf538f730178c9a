"""Plan, prove and apply on a server that is not ours, as an operator meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.cli.main import run
from tests.databases import TestDatabase


@pytest.fixture
def given(database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestDatabase:
    """A project behind DATABASE_URL, whose database holds a row of a host's."""
    monkeypatch.setenv("DATABASE_URL", database.app_url)
    monkeypatch.setenv("DATABASE_OWNER_URL", database.owner_url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text('modules = ["auth"]\n')
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("CREATE SCHEMA host; CREATE TABLE host.notes (id int)")
        owner.execute("INSERT INTO host.notes VALUES (1)")
    return database


def said(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capfd.readouterr().out)


def text(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert run([*arguments]) == code
    captured = capfd.readouterr()
    return captured.out, captured.err


def test_an_operator_plans_proves_and_applies(
    given: TestDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    planned = said(capfd, "migrate", "plan")
    assert [step["revision"] for step in planned["steps"]][-1] == "0002_audit_logs"
    assert planned["proof"].startswith("Nothing proves yet")
    assert {each["severity"] for each in planned["hazards"]} <= {"warning"}
    refused = said(capfd, "migrate", "apply", code=5)["error"]
    assert refused["code"] == "proof_missing"
    assert "bedplate migrate prove" in refused["next_step"]
    proof = said(capfd, "migrate", "prove")
    assert proof["passed"]
    assert proof["plan"] == planned["hash"]
    assert (proof["ground"], proof["data"]) == ("private server", "full")
    out, _ = text(capfd, "migrate", "plan")
    assert "behaviour of auth.users, auth.user_preferences" in out
    assert "Proof: rehearsed at" in out
    receipts = said(capfd, "migrate", "apply")
    assert [each["revision"] for each in receipts] == [each["revision"] for each in proof["steps"]]
    assert said(capfd, "migrate", "apply") == []
    out, _ = text(capfd, "migrate", "plan")
    assert out == "Nothing is pending.\n"


BROKEN = '''
"""It goes back too far."""
from alembic import op
from bedplate.kernel.footprint import Footprint
touches = Footprint(shape=["host.notes_id_idx"])
revision = {name!r}
down_revision = None

def upgrade():
    op.execute("CREATE TABLE shelves.planks (id int)")
    op.execute("CREATE INDEX ON host.notes (id)")

def downgrade():
    op.execute("DROP TABLE shelves.planks")
    op.execute("DROP TABLE host.notes")
'''


@pytest.mark.usefixtures("forgetting")
def test_a_rehearsal_that_fails_is_shown_with_every_reason_and_exits_with_1(
    given: TestDatabase, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "corner" / "shelves"
    (package / "migrations").mkdir(parents=True)
    (package / "migrations" / "0001_planks.py").write_text(BROKEN.format(name="0001_planks"))
    (tmp_path / "corner" / "__init__.py").write_text("")
    (package / "__init__.py").write_text(
        "from bedplate.kernel.module import ModuleManifest\n"
        "MODULE = ModuleManifest(name='shelves', package='corner.shelves', models=())\n"
    )
    (tmp_path / "bedplate.toml").write_text('modules = ["corner.shelves"]\n')
    planned, _ = text(capfd, "migrate", "plan")
    assert "The safe recipes: bedplate migrate lint" in planned
    out, _ = text(capfd, "migrate", "prove", code=1)
    assert out.startswith("The rehearsal FAILED")
    assert "FAULT  " in out
    assert "host.notes" in out
    refused = said(capfd, "migrate", "apply", code=5)["error"]
    assert "The rehearsal of this plan failed" in refused["message"]
    _, err = text(capfd, "migrate", "apply", "--without-proof", "--no-backup")
    assert "APPLYING WITHOUT A PROOF" in err
    assert "APPLYING WITHOUT A BACKUP" in err
    with psycopg.connect(given.owner_url) as owner:
        entries = owner.execute("SELECT what FROM bedplate.journal ORDER BY number").fetchall()
    assert entries == [("apply without proof",), ("apply without backup",)]
