"""A plot of characters: a value over time, and marks below it."""

from __future__ import annotations

from collections.abc import Sequence

HEIGHT = 10
WIDTH = 64


def plot(
    moves: Sequence[tuple[float, int]], seconds: float, marks: Sequence[float] = ()
) -> list[str]:
    """Draw the running sum of `moves` (seconds since the start, amount) as filled columns.

    `marks` are moments, numbered from 1 in a line of their own below the axis.
    """
    columns = _columns(moves, seconds)
    top = max([*columns, 1])
    label = len(f"{top:,}")
    lines: list[str] = []
    for row in range(HEIGHT, 0, -1):
        # Filled where the value reaches at least the middle of the row.
        filled = "".join("#" if value * HEIGHT >= top * (row - 0.5) else " " for value in columns)
        side = f"{top:,}" if row == HEIGHT else ""
        lines.append(f"{side:>{label}} |{filled}".rstrip())
    lines.append(f"{'0':>{label}} +{'-' * WIDTH}")
    end = f"{seconds:.1f} s"
    lines.append(f"{'':{label}}  0{end:>{WIDTH - 1}}")
    if marks:
        lines.append(f"{'':{label}}  {_marked(marks, seconds)}")
    return lines


def bars(rows: Sequence[tuple[str, int, int]]) -> list[str]:
    """Draw a bar a row: its name, as much as is filled in `#`, and the rest of it in `.`."""
    top = max([whole for _, _, whole in rows], default=0) or 1
    label = max([len(name) for name, _, _ in rows], default=0)
    lines: list[str] = []
    for name, filled, whole in rows:
        length = round(whole * WIDTH / top)
        dark = round(filled * WIDTH / top)
        lines.append(f"{name:<{label}} |{'#' * dark}{'.' * (length - dark)} {whole:,}")
    return lines


def _columns(moves: Sequence[tuple[float, int]], seconds: float) -> list[int]:
    """Return the value at the end of each column."""
    columns: list[int] = []
    value, next_move = 0, 0
    for column in range(WIDTH):
        end = seconds * (column + 1) / WIDTH
        while next_move < len(moves) and moves[next_move][0] <= end:
            value += moves[next_move][1]
            next_move += 1
        columns.append(value)
    return columns


def _marked(marks: Sequence[float], seconds: float) -> str:
    line = [" "] * WIDTH
    for number, mark in enumerate(marks, start=1):
        place = min(WIDTH - 1, max(0, int(mark / seconds * WIDTH)))
        # Two that fall together stand side by side.
        while line[place] != " " and place < WIDTH - 1:
            place += 1
        line[place] = str(number)
    return "".join(line).rstrip()
