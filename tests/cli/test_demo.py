"""`bedplate demo` as people meet it: it adds up, whatever is around it, and leaves nothing."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bedplate.cli.demo.business import CUSTOMERS, MONTHS
from bedplate.cli.demo.plot import HEIGHT, WIDTH, bars, plot
from tests.cli.terminal import LIMIT_S, Said, Terminal, until

# Both ways to tell of one performance, which is what takes the time.
BOTH_WAYS = """
import sys
from bedplate.cli.demo import command
from bedplate.cli.main import run

played, perform = [], command.perform
command.perform = lambda note: played[0] if played else played.append(perform(note)) or played[0]
codes = [run(["demo", "--json"])]
print(end="\\0")
codes.append(run(["demo"]))
sys.exit(max(codes))
"""
KEYS = {
    *("ok", "postgres", "modules", "acknowledged", "recorded", "balance_delta", "violations"),
    *("naive", "accounting", "seconds"),
}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return terminal_in(tmp_path)


def terminal_in(folder: Path) -> Terminal:
    """A terminal in a folder whose project cannot be opened, and which names another database."""
    project = folder / "project"
    project.mkdir()
    (folder / "temporary").mkdir()
    (project / "bedplate.toml").write_text("no_such_setting = 1\n")
    return Terminal(project)


def surroundings(terminal: Terminal) -> dict[str, str]:
    return {
        "TMPDIR": str(terminal.folder.parent / "temporary"),
        "DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/nowhere",
        "BEDPLATE_MODULES": "no_such_module",
        "NO_COLOR": "1",
    }


def left_behind(terminal: Terminal) -> list[Path]:
    return list((terminal.folder.parent / "temporary").iterdir())


def processes_in(terminal: Terminal) -> list[str]:
    place = str(terminal.folder.parent)
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [told for told in [path.read_text(errors="replace")] if place in told]
    return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Where the demo was played."""
    return terminal_in(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def said(stage: Terminal) -> dict[str, Said]:
    """What `bedplate demo` said of one performance: with --json, and as a page."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", BOTH_WAYS],
        cwd=stage.folder,
        env=stage.environment | surroundings(stage),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    document, _, page = done.stdout.partition("\0")
    return {
        "--json": Said(done.returncode, document, done.stderr),
        "page": Said(done.returncode, page, done.stderr),
    }


def test_it_adds_up_and_leaves_nothing(stage: Terminal, said: dict[str, Said]) -> None:
    told = said["--json"]
    assert told.code == 0, told.stderr
    found = told.document
    assert set(found) == KEYS
    assert found["ok"] is True
    assert found["modules"] == ["auth", "credits", "mining", "accounting"]
    assert found["acknowledged"] == found["recorded"] > 1_000
    assert (found["balance_delta"], found["violations"]) == (0, 0)
    # The plan's own code charges for credits that never leave a balance.
    assert found["naive"]["charged"] > found["naive"]["deducted"] > 0
    # Whatever was killed, every month of every customer was billed once.
    billed = found["accounting"]
    assert billed["invoices"] == CUSTOMERS * MONTHS
    assert billed["numbers_gap_free"] is True
    assert (billed["missing_or_twice"], billed["violations"]) == (0, 0)
    assert billed["received"] == billed["allocated"] != "0"
    # Each payment was tried a second time at least once.
    assert billed["refused"] >= billed["payments"] > 100
    assert billed["overdue"] > 0
    assert list(billed["revenue"]) == ["2026-01", "2026-02", "2026-03", "2026-05", "2026-06"]
    assert found["postgres"][0].isdigit()
    assert found["seconds"] > 0
    assert sum("SIGKILL" in line for line in told.stderr.splitlines()) == 2
    assert "secret" not in told.stdout + said["page"].stdout + told.stderr
    assert left_behind(stage) == []
    assert [path.name for path in stage.folder.iterdir()] == ["bedplate.toml"]


def test_a_person_gets_a_page_of_plain_characters(said: dict[str, Said]) -> None:
    told = said["page"]
    assert told.code == 0, told.stderr
    assert told.stdout.isascii()
    assert "\x1b" not in told.stdout
    for part in (
        "Killed a client process",
        "Killed the server",
        "given away",
        "Ada Lovelace",
        "2026-05 |#",
    ):
        assert part in told.stdout, told.stdout
    assert "ok: nothing is missing" in told.stdout
    assert "ok: every month is billed once" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 120


@pytest.mark.parametrize("after", ["clients charge", "Killed the server"])
def test_ctrl_c_leaves_nothing(terminal: Terminal, after: str) -> None:
    demo = terminal.start("demo", **surroundings(terminal))
    try:
        until(lambda: any(after in line for line in demo.stderr))
        assert demo.end(signal.SIGINT) == 130
    finally:
        demo.process.kill()
    assert left_behind(terminal) == []
    # A client whose start was interrupted sees by itself that nobody wants it any more.
    until(lambda: processes_in(terminal) == [])


def test_the_plot_shows_the_value_over_time() -> None:
    lines = plot([(0.0, 100), (5.0, -50), (9.9, -50)], 10.0, [2.5, 2.5, 10.0])
    rows = [line.partition("|")[2] for line in lines[:HEIGHT]]
    assert lines[0].startswith("100 |")
    # All of it until the middle, half of it afterwards.
    assert len(rows[0]) == pytest.approx(WIDTH / 2, abs=1)
    assert len(rows[HEIGHT // 2]) == pytest.approx(WIDTH, abs=1)
    marks = lines[-1][5:]
    assert (marks.index("1"), marks.index("2"), marks.index("3")) == (16, 17, WIDTH - 1)


def test_bars_show_a_part_of_the_whole() -> None:
    half, whole = bars([("a", 25, 50), ("bb", 100, 100)])
    assert half == f"a  |{'#' * (WIDTH // 4)}{'.' * (WIDTH // 4)} 50"
    assert whole == f"bb |{'#' * WIDTH} 100"
    assert bars([]) == []


def test_a_plot_of_nothing_is_empty() -> None:
    assert all("#" not in line for line in plot([], 1.0))
