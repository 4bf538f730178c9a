"""Sizes: what does not fit on a screen or in a head is cut."""

from __future__ import annotations

from tests.house.exceptions import hold_limit
from tests.house.source import FunctionNode, files, functions, python_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6
COLUMNS_MAX = 100


def test_a_file_has_at_most_400_lines() -> None:
    measures = {file.place: len(file.text.splitlines()) for file in files(".py", ".sql", ".sh")}
    hold_limit(
        "file-lines",
        measures,
        limit=FILE_LINES_MAX,
        why="a longer file holds two subjects: make it a folder whose face keeps callers unchanged",
    )


def test_a_function_has_at_most_70_lines() -> None:
    measures = {
        f"{file.place}::{name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for file in python_files()
        for name, node, _ in functions(file)
    }
    hold_limit(
        "function-lines",
        measures,
        limit=FUNCTION_LINES_MAX,
        why="a function is read without scrolling: push ifs up, fors down, and name the parts",
    )


def test_a_function_takes_at_most_sixparameters() -> None:
    measures = {
        f"{file.place}::{name}": parameters(node, is_method=is_method)
        for file in python_files()
        for name, node, is_method in functions(file)
    }
    hold_limit(
        "parameters",
        measures,
        limit=PARAMETERS_MAX,
        why="beyond six nobody remembers the order: hand over a frozen dataclass of options",
    )


def test_a_line_has_at_most_100_columns() -> None:
    measures = {
        f"{file.place}:{number}": len(line)
        for file in files(".py", ".sql", ".sh", ".toml")
        for number, line in enumerate(file.text.splitlines(), start=1)
        if len(line) > COLUMNS_MAX
    }
    hold_limit("columns", measures, limit=COLUMNS_MAX, why="two files fit side by side")


def parameters(node: FunctionNode, *, is_method: bool) -> int:
    arguments = node.args
    named = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    starred = sum(star is not None for star in (arguments.vararg, arguments.kwarg))
    is_static = any(getattr(mark, "id", "") == "staticmethod" for mark in node.decorator_list)
    return named + starred - (1 if is_method and not is_static else 0)
