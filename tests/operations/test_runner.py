"""Killed, started many times at once, under load, and fed with what cannot be run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel.errors import MigrationFailed, NoWayBack, RevisionEdited
from bedplate.operations import migrate
from bedplate.operations.migrate import lock
from tests import proofs
from tests.databases import TestDatabase
from tests.operations.long_line import LongLine, counting, ended, killed_before, started

KILLED = -9
STARTERS = 16


@pytest.fixture
def line(shop_database: TestDatabase, tmp_path: Path) -> Iterator[LongLine]:
    made = LongLine(shop_database, tmp_path, rows=25, batch=10)
    yield made
    made.owner.close()


def boundaries(body: Callable[[], object]) -> int:
    """How many statements a run sends that do something."""
    read, write = os.pipe()

    def run() -> None:
        counting(lambda number: tick(write, number))
        body()

    assert ended(started(run)) == 0
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        return len(pipe.read())


def tick(pipe: int, number: int) -> None:
    del number
    os.write(pipe, b".")


def converges(line: LongLine, numbers: dict[str, list[int]]) -> None:
    """Kill the way there and the way back before each of these statements, and go on."""
    before = line.state
    line.apply()
    after, said_up = line.state, line.said("up")
    line.undo()
    said_down = line.said("down")
    ways = {
        "apply": (line.apply, line.undo, after, "up", said_up),
        "undo": (line.undo, line.apply, before, "down", said_down),
    }
    for way, (there, back, outcome, direction, said) in ways.items():
        if way == "undo":
            line.apply()
        for number in numbers[way]:
            if way == "apply":
                # As on a database that never had a backfill: its books are made again.
                books = "bedplate.backfills, bedplate.before_images, bedplate.steps"
                line.owner.execute(f"DROP TABLE {books}".encode())
            assert killed_before(number, there) == KILLED, (way, number)
            there()
            assert line.state == outcome, (way, number)
            assert line.invalid == 0, (way, number)
            assert line.said(direction) == said, (way, number)
            back()


def test_killed_at_a_statement_the_next_run_goes_on(line: LongLine) -> None:
    # A few here; every one of them with --full.
    many = boundaries(line.apply)
    back = boundaries(line.undo)
    assert many > 25
    converges(line, {"apply": [*range(6, many, many // 4)], "undo": [*range(5, back, back // 2)]})


@pytest.mark.full
def test_killed_at_every_statement_the_next_run_goes_on(line: LongLine) -> None:
    many = boundaries(line.apply)
    back = boundaries(line.undo)
    converges(line, {"apply": [*range(1, many + 1)], "undo": [*range(1, back + 1)]})
    ((version,),) = line.found("SHOW server_version")
    figures = {"postgresql": version, "killed_there": many, "killed_back": back, "converged": "all"}
    text = f"""# A migration killed at every statement

`pytest --full tests/operations/test_runner.py`: a revision that is one transaction, one with
concurrent indexes and a constraint to validate, and a backfill, run in a process that sends itself
SIGKILL before a statement (of those that change something, and COMMIT). PostgreSQL {version}. The
next run went on to the same schema, rows and indexes as an undisturbed one, with no INVALID index.

| | killed and converged |
|---|---|
| before each statement of the way there | {many} of {many} |
| before each statement of the way back | {back} of {back} |
"""
    proofs.write("migrate-killed", text, figures)


@pytest.mark.parametrize("way", ["apply", "apply_proven"])
def test_of_sixteen_processes_one_applies_and_fifteen_wait(
    line: LongLine, tmp_path: Path, way: str
) -> None:
    start = time.monotonic() + 1.0

    def starter(number: int) -> None:
        time.sleep(max(0.0, start - time.monotonic()))
        (tmp_path / f"ran-{number}").write_text(" ".join(getattr(line, way)()))

    children = [started(partial(starter, number)) for number in range(STARTERS)]
    codes = [ended(pid) for pid in children]
    assert codes == [0] * STARTERS
    ran = sorted((tmp_path / f"ran-{number}").read_text() for number in range(STARTERS))
    assert ran == [""] * 15 + ["0003_prices 0004_indexes 0005_cents"]
    assert line.invalid == 0
    assert line.found("SELECT count(*) FROM shop.items WHERE cents = price * 100") == [(25,)]


def test_who_waits_is_told_again_and_again_who_is_waited_for(
    line: LongLine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TELL_EVERY_S", 0.0)
    with ThreadPoolExecutor(1) as other, caplog.at_level("INFO", "bedplate"):
        with lock.held(line.database.owner_url) as held:
            pid = held.connection.info.backend_pid
            told = f"session {pid} of {line.database.roles[0]}"
            waiting = other.submit(line.apply)
            while caplog.text.count(told) < 3 and not waiting.done():
                time.sleep(0.01)
            assert not waiting.done()
        assert waiting.result(timeout=60) == ["0003_prices", "0004_indexes", "0005_cents"]


@pytest.mark.parametrize(
    ("body", "error", "parts"),
    [
        ("def upgrade(): ...\n", NoWayBack, ("0006_new.py", "downgrade()", "irreversible =")),
        (
            'irreversible = "prices are gone"\ndef upgrade(): ...\ndef downgrade(): ...\n',
            NoWayBack,
            ("0006_new", "prices are gone", "backup"),
        ),
    ],
)
def test_what_has_no_way_back_is_refused_before_the_first_step(
    line: LongLine, body: str, error: type[MigrationFailed], parts: tuple[str, ...]
) -> None:
    line.module.add("0006_new", body)
    line.apply()
    line.module.add("0007_newer", "def upgrade(): ...\ndef downgrade(): ...\n")
    line.apply()
    before = line.state
    with pytest.raises(error) as refusal:
        line.undo()
    for part in parts:
        assert part in str(refusal.value)
    assert line.state == before


def test_an_applied_revision_that_was_edited_is_refused(line: LongLine) -> None:
    line.apply()
    before = line.state
    file = line.module.line / "0003_prices.py"
    original = file.read_text()
    file.write_text(original.replace("cents >= 0", "cents > 0"))
    line.module.add("0006_new", "def upgrade(): ...\ndef downgrade(): ...\n")
    with pytest.raises(RevisionEdited) as refusal:
        line.apply()
    for part in (str(file), "new revision", "bedplate migrate undo shop --to 0002_items"):
        assert part in str(refusal.value)
    assert line.state == before
    file.write_text(original)
    assert line.apply() == ["0006_new"]


def test_the_way_back_of_a_revision_that_was_edited_is_refused(line: LongLine) -> None:
    line.apply()
    before = line.state
    file = line.module.line / "0003_prices.py"
    original = file.read_text()
    file.write_text(original.replace('op.drop_column("items", "cents"', 'op.drop_table("items"'))
    with pytest.raises(RevisionEdited, match="0003_prices was edited after it was applied"):
        line.undo()
    assert line.state == before
    # It is in nobody's way while it stays.
    kept = {"to": "0004_indexes", "owner_url": line.database.owner_url}
    assert migrate.undo(line.registry, "shop", **kept).line.current == "0004_indexes"
    file.write_text(original)
    line.undo()
    assert line.found("SELECT version_num FROM shop.schema_version") == [("0002_items",)]


@pytest.mark.filterwarnings("ignore:Revision 0004_indexes")
def test_a_gap_in_a_line_is_refused(line: LongLine) -> None:
    (line.module.line / "0004_indexes.py").unlink()
    before = line.state
    with pytest.raises(MigrationFailed, match=r"0005_cents|0004_indexes"):
        line.apply()
    assert line.state == before


def test_a_role_without_rights_is_told_what_to_grant(line: LongLine) -> None:
    before = line.state
    owner, _, _ = line.database.roles
    with psycopg.connect(line.database.admin_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE shop.items OWNER TO CURRENT_USER")
        with pytest.raises(MigrationFailed, match=r"0003_prices failed with 42501 .* apply again"):
            line.apply()
        admin.execute(f'ALTER TABLE shop.items OWNER TO "{owner}"'.encode())
    assert line.state == before


def test_a_rehearsal_proves_every_kind_of_revision(line: LongLine) -> None:
    receipts: list[migrate.Receipt] = []
    line.apply_proven(receipts.append)
    assert [(each.revision, each.rows_touched) for each in receipts] == [
        ("0003_prices", 0),
        ("0004_indexes", 0),
        ("0005_cents", 25),
    ]
