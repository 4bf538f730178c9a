"""`bedplate demo` as people meet it: it adds up, whatever is around it, and leaves nothing."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from bedplate.cli.demo.business import CUSTOMERS, MONTHS
from bedplate.cli.demo.plot import HEIGHT, WIDTH, bars, plot
from tests.cli.terminal import Said, Terminal, until

KEYS = {
    *("ok", "postgres", "modules", "acknowledged", "recorded", "balance_delta", "violations"),
    *("naive", "accounting", "seconds"),
}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in a folder whose project cannot be opened, and which names another database."""
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "temporary").mkdir()
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


def run(terminal: Terminal, *arguments: str) -> Said:
    return terminal.run("demo", *arguments, **surroundings(terminal))


def test_it_adds_up_and_leaves_nothing(terminal: Terminal) -> None:
    said = run(terminal, "--json")
    assert said.code == 0, said.stderr
    found = said.document
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
    assert sum("SIGKILL" in line for line in said.stderr.splitlines()) == 2
    assert "secret" not in said.stdout + said.stderr
    assert left_behind(terminal) == []
    assert [path.name for path in terminal.folder.iterdir()] == ["bedplate.toml"]


def test_a_person_gets_a_page_of_plain_characters(terminal: Terminal) -> None:
    said = run(terminal)
    assert said.code == 0, said.stderr
    assert said.stdout.isascii()
    assert "\x1b" not in said.stdout
    for part in (
        "Killed a client process",
        "Killed the server",
        "given away",
        "Ada Lovelace",
        "2026-05 |#",
    ):
        assert part in said.stdout, said.stdout
    assert "ok: nothing is missing" in said.stdout
    assert "ok: every month is billed once" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 120


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
