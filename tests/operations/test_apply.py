"""Apply asks for a proof, makes one where it may, and backs up what could be lost."""

from __future__ import annotations

import importlib
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from bedplate.catalog import connect
from bedplate.kernel import clock
from bedplate.kernel.errors import (
    MigrationFailed,
    ProofFailed,
    ProofMissing,
    RehearsalRefused,
)
from bedplate.kernel.registry import Registry
from bedplate.operations import backup
from bedplate.operations.migrate import Policy, apply, books, lock, rehearse
from bedplate.operations.migrate.plan import Plan, plan
from bedplate.operations.migrate.proof import FOLDER
from bedplate.operations.migrate.rehearse import prove
from bedplate.operations.migrate.step import OnStep
from bedplate.operations.migrate.target import Target
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule, shop
from tests.operations.long_line import ended, started
from tests.operations.test_rehearse import target_of

applying = importlib.import_module("bedplate.operations.migrate.apply")
"""The file; the face has the function of that name."""

MORE = (
    'def upgrade():\n    op.execute("ALTER TABLE shop.shelves ADD depth int")\n'
    'def downgrade():\n    op.execute("ALTER TABLE shop.shelves DROP depth")\n'
)

CARELESS = Policy(without_proof=True, without_backup=True)
ENDS = {"fails": 'op.execute("SELECT 1/0")', "is killed": "os.kill(os.getpid(), 9)"}
# Either for a row that another writes, or for its turn beside the two that hold one.
WAITS = """
SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted) OR 3 = (
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'bedplate migrate lock'
)
"""


@pytest.fixture
def module(tmp_path: Path) -> FakeModule:
    return shop(tmp_path)


@pytest.fixture
def target(kernel_database: TestDatabase, module: FakeModule, tmp_path: Path) -> Target:
    # With the kernel's line applied there is less to rehearse.
    return target_of(kernel_database, tmp_path, Registry([module.manifest()]))


@pytest.fixture
def given(target: Target) -> Target:
    """The same database as DATABASE_URL gives it: nobody's administrator."""
    return replace(target, admin_url=None)


def put_a_row(target: Target) -> None:
    with psycopg.connect(target.owner_url) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS public.host (id int)")
        owner.execute("INSERT INTO public.host VALUES (1)")


def journal(target: Target) -> list[str]:
    with psycopg.connect(target.owner_url) as owner:
        rows = owner.execute("SELECT what FROM bedplate.journal ORDER BY number")
        return [what for (what,) in rows]


def receipts(target: Target) -> list[dict[str, object]]:
    with connect(target.owner_url) as connection:
        return [entry.document for entry in books.receipts(connection)]


def state(target: Target) -> list[str | None]:
    with psycopg.connect(target.owner_url) as owner:
        query = "SELECT to_regnamespace('shop')::text"
        return [row[0] for row in owner.execute(query)]


def test_beside_the_live_database_apply_rehearses_first_and_its_receipts_name_the_proof(
    target: Target,
) -> None:
    said: list[str] = []
    lines = apply(target, on_note=said.append)
    assert [line.state for line in lines] == ["current", "current"]
    assert any(each.startswith("Rehearsing") for each in said)
    (file,) = (target.folder / FOLDER).glob("*.json")
    (named,) = {each["proof"] for each in receipts(target) if each["module"] == "shop"}
    assert json.loads(file.read_text())["sha256"] == named


def test_nothing_pending_is_neither_rehearsed_nor_backed_up(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = apply(target)
    put_a_row(target)
    monkeypatch.setattr(applying, "rehearse", None)
    monkeypatch.setattr(backup, "ensure_recent", None)
    assert apply(target) == lines


def test_behind_a_url_with_rows_only_a_proof_made_before_counts(
    given: Target, target: Target
) -> None:
    put_a_row(given)
    with pytest.raises(ProofMissing, match="bedplate migrate prove"):
        apply(given)
    assert state(given) == [None]
    proof = prove(target)
    apply(given)
    assert {each["proof"] for each in receipts(given)} == {None, proof.sha256}


def test_a_proof_does_not_outlive_a_day_a_change_of_the_schema_or_an_edit(
    given: Target, target: Target, module: FakeModule
) -> None:
    put_a_row(given)
    prove(target)
    now = clock.now()
    clock.freeze(lambda: now + timedelta(hours=24, minutes=1))
    try:
        with pytest.raises(ProofMissing, match="more than 24 hours old"):
            apply(given)
    finally:
        clock.freeze(None)
    with psycopg.connect(given.owner_url) as owner:
        owner.execute("ALTER TABLE public.host ADD name text")
    with pytest.raises(ProofMissing, match="has changed since the rehearsal"):
        apply(given)
    file = module.line / "0002_items.py"
    file.write_text(file.read_text() + "\n# edited\n")
    with pytest.raises(ProofMissing, match="Nothing proves"):
        apply(given)
    assert state(given) == [None]


def test_a_change_of_the_schema_between_proof_and_first_step_is_seen_under_the_lock(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehearse_and_be_overtaken(target: Target, found: Plan, _: OnStep) -> object:
        proof = rehearse.rehearse(target, found)
        put_a_row(target)
        return proof

    monkeypatch.setattr(applying, "rehearse", rehearse_and_be_overtaken)
    with pytest.raises(ProofMissing, match="has changed since the rehearsal"):
        apply(target)
    assert state(target) == [None]


def test_an_edited_proof_is_no_proof(given: Target, target: Target, module: FakeModule) -> None:
    put_a_row(given)
    module.add("0003_broken", 'def upgrade():\n    op.execute("SELECT 1/0")\n')
    assert not prove(target).passed
    with pytest.raises(ProofMissing, match="The rehearsal of this plan failed"):
        apply(given)
    (file,) = (given.folder / FOLDER).glob("*.json")
    file.write_text(file.read_text().replace('"reasons": [', '"reasons": [], "ignored": ['))
    with pytest.raises(ProofMissing, match="not as it was written"):
        apply(given)
    file.write_text("{")
    with pytest.raises(ProofMissing, match="is no proof"):
        apply(given)


def test_what_fails_in_rehearsal_touches_nothing(target: Target, module: FakeModule) -> None:
    apply(target)
    module.add("0003_leaves", MORE.replace("DROP depth", "RENAME depth TO gone"))
    with pytest.raises(ProofFailed, match="leaves a trace"):
        apply(target)
    assert plan(target).steps[0].revision == "0003_leaves"


def test_without_a_proof_is_said_aloud_and_written_into_the_journal(given: Target) -> None:
    put_a_row(given)
    said: list[str] = []
    apply(given, policy=CARELESS, on_note=said.append)
    assert [each for each in said if each.startswith("APPLYING WITHOUT")] == [
        "APPLYING WITHOUT A PROOF: as asked",
        "APPLYING WITHOUT A BACKUP: as asked",
    ]
    assert journal(given) == ["apply without proof", "apply without backup"]
    assert {document["proof"] for document in receipts(given)} == {None}


@pytest.mark.parametrize("end", ["fails", "is killed"])
def test_what_was_done_without_is_journalled_also_where_a_later_revision_ends_the_run(
    database: TestDatabase, module: FakeModule, tmp_path: Path, end: str
) -> None:
    # A host's database, in which nothing of ours is yet: adoption.
    module.add("0003_ends", f"import os\n\ndef upgrade():\n    {ENDS[end]}\n")
    target = replace(target_of(database, tmp_path, Registry([module.manifest()])), admin_url=None)
    put_a_row(target)

    def run() -> None:
        with pytest.raises(MigrationFailed):
            apply(target, policy=CARELESS)

    assert ended(started(run)) == (0 if end == "fails" else -signal.SIGKILL)
    assert [each["revision"] for each in receipts(target)][-1] == "0002_items"
    assert journal(target) == ["apply without proof", "apply without backup"]


def test_the_journal_is_written_by_one_at_a_time(given: Target) -> None:
    put_a_row(given)
    with ThreadPoolExecutor(1) as other, lock.held(given.owner_url):
        with psycopg.connect(given.owner_url) as writing, writing.transaction():
            books.note(writing, books.Decision("baseline", {}))
            applying = other.submit(apply, given, policy=CARELESS)
            with psycopg.connect(given.owner_url, autocommit=True) as reader:
                while reader.execute(WAITS).fetchone() != (True,) and not applying.done():
                    time.sleep(0.01)
        assert not applying.done()
    applying.result(timeout=60)
    assert journal(given) == ["baseline", "apply without proof", "apply without backup"]


def test_rows_are_backed_up_before_the_first_step_and_once_a_day(
    target: Target, module: FakeModule
) -> None:
    apply(target)
    folder = target.folder / ".bedplate" / "backups"
    assert not folder.exists()
    put_a_row(target)
    module.add("0003_more", MORE)
    apply(target)
    found = backup.listed(folder)
    assert len(found) == 1
    module.add("0004_more", MORE.replace("depth", "height"))
    apply(target)
    assert backup.listed(folder) == found


def test_an_empty_database_behind_a_url_needs_no_ground(
    given: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: Target, found: Plan, _: OnStep) -> object:
        raise RehearsalRefused("This machine has no PostgreSQL 17.", "Install it.")

    monkeypatch.setattr(applying, "rehearse", refuse)
    said: list[str] = []
    apply(given, on_note=said.append)
    assert any("no PostgreSQL 17" in each for each in said)
    assert journal(given) == ["apply without proof"]


def test_of_many_starters_one_rehearses_and_applies(target: Target) -> None:
    ran: list[str] = []
    said: list[str] = []
    start = threading.Barrier(5)

    def one(_: int) -> list[str]:
        start.wait()
        lines = apply(target, on_step=lambda step: ran.append(step.revision), on_note=said.append)
        return [line.state for line in lines]

    with ThreadPoolExecutor(5) as pool:
        assert set(map(tuple, pool.map(one, range(5)))) == {("current", "current")}
    assert ran == ["0001_shelves", "0002_items"]
    assert len([each for each in said if each.startswith("Rehearsing")]) == 1


def test_a_plan_is_plain_data_and_its_hash_follows_every_part_of_it(
    target: Target, module: FakeModule
) -> None:
    first = plan(target)
    assert first == plan(target)
    assert first.hash == plan(target).hash
    assert [step.revision for step in first.steps][-2:] == ["0001_shelves", "0002_items"]
    changes = (
        {"database": "another"},
        {"major": 99},
        {"modules": ()},
        {"steps": first.steps[:-1]},
        {"steps": (*first.steps[:-1], replace(first.steps[-1], sha256="0"))},
    )
    hashes = {replace(first, **change).hash for change in changes}
    assert len(hashes | {first.hash}) == len(changes) + 1
    assert replace(first, fingerprint="0").hash == first.hash
