"""What a mark in the traceability ledger claims, looked up in the code and in the tests.

A place is a file of the repository or the dotted name of something importable. When it names a
model, the model must have the columns, uniques and indexes that the plan lists; when it names an
enum, its members. A test is a pytest node: its file and its function must exist.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from enum import EnumType
from typing import Any

from sqlalchemy import Column, Numeric, Table, UniqueConstraint
from sqlalchemy.orm import configure_mappers

from tests.house.traceability import NOTATION, ROOT, Item, Mark, Plan


def problems(plans: Iterable[Plan]) -> list[str]:
    """Return a sentence for every mark that claims what is not so; empty when all is well."""
    return [problem for plan in plans for problem in (*_loose_ends(plan), *_false_claims(plan))]


def _loose_ends(plan: Plan) -> Iterator[str]:
    """A mark must be about items that the plan has."""
    keys = {item.key for item in plan.items}
    for key, mark in plan.marks.items():
        if key not in keys:
            yield f'{plan.letter}: [done."{key}"] is about no item of the plan.'
        for detail in (*mark.open, *mark.columns):
            if f"{key}.{detail}" not in keys:
                yield f'{plan.letter}: [done."{key}"] names {detail}, which {key} does not have.'


def _false_claims(plan: Plan) -> Iterator[str]:
    for item in plan.items:
        mark = plan.mark_of(item)
        if mark is not None:
            for problem in (place_problem(item, mark, plan), node_problem(mark.test)):
                if problem:
                    yield f"{item.id}: {problem}"


def node_problem(node: str) -> str:
    """Say why the pytest node `path::name` or `path::Class::name` does not exist, or ""."""
    path, *names = node.split("::")
    file = ROOT / path
    if not names or not file.is_file():
        return f"the test {node} has no file there; write path::name."
    found: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = ast.parse(file.read_text())
    for name in names:
        inner = [
            child
            for child in found.body
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and child.name == name
        ]
        if not inner:
            return f"{path} has no test {name}."
        found = inner[0]
    return "" if names[-1].startswith("test_") else f"{node} is not a test."


def place_problem(item: Item, mark: Mark, plan: Plan) -> str:
    """Say why the mark's place does not hold the item, or ""."""
    if (ROOT / mark.place).is_file():
        # Part of a model is a file only where a page says why it was decided otherwise.
        decided = item.key in plan.marks and mark.place.startswith("docs/decisions/")
        held = decided or not item.owner
        return "" if held else f"{mark.place} is a file: give the class's dotted name."
    target = find(mark.place)
    if target is None:
        return f"{mark.place} is neither a file here nor anything that can be imported."
    if isinstance(target, EnumType):
        return _enum_problem(item, target, plan)
    table: Table[Any] | None = getattr(target, "__table__", None)
    if table is not None:
        return _model_problem(item, target, table, mark)
    if item.kind in ("model", "enum", "set"):
        return f"{mark.place} is neither a model nor an enum."
    return ""


def find(dotted: str) -> Any:
    """Return what the dotted name `package.module.Class.attribute` means; None if nothing."""
    names = dotted.split(".")
    for length in range(len(names), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(names[:length]))
        except ModuleNotFoundError as missing:
            # Only the dotted name itself may be missing; a broken import inside it is a real error.
            if missing.name is None or not dotted.startswith(missing.name):
                raise
            continue
        for name in names[length:]:
            found = getattr(found, name, None)
        return found
    return None


def snake(name: str) -> str:
    """Return the column that a plan's field has unless a mark says otherwise."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _enum_problem(item: Item, enum: EnumType, plan: Plan) -> str:
    members = set(enum.__members__)
    if item.kind == "member":
        return "" if item.detail in members else f"{enum.__name__} has no member {item.detail}."
    if item.key in plan.exact_enums:
        listed = {each.detail for each in plan.items if each.owner == item.key} - {""}
        if members - listed:
            return f"{enum.__name__} has more members than the plan: {sorted(members - listed)}."
    return ""


def _model_problem(item: Item, model: Any, table: Table[Any], mark: Mark) -> str:
    names = [part for part in re.split(r"\w+\(|[,)]", item.detail) if part]
    columns = [mark.columns.get(name, snake(name)) for name in names]
    if item.kind == "model":
        wrong = item.text not in ("", table.name)
        return f"its table is {table.name}, the plan says {item.text}." if wrong else ""
    if item.kind == "relation":
        configure_mappers()
        here = hasattr(model, columns[0])
        return "" if here else f"{model.__name__} has no relation {columns[0]}: leave it `open`."
    missing = [column for column in columns if column not in table.columns]
    if missing:
        return f"{table.fullname} has no column {', '.join(missing)}."
    match item.kind:
        case "field":
            return _field_problem(item, table.columns[columns[0]])
        case "unique":
            held = any(set(rule) == set(columns) for rule in _rules(table, unique=True))
            return "" if held else f"{table.fullname} has no unique rule on {columns}."
        case "index":
            held = any(rule[: len(columns)] == columns for rule in _rules(table, unique=False))
            return "" if held else f"{table.fullname} has no index that begins with {columns}."
        case "reference":
            return _reference_problem(item, table.columns[columns[0]])
        case _:
            return ""


def _field_problem(item: Item, column: Column[Any]) -> str:
    """What may be null in the plan may be null here, and money has the plan's precision."""
    notation = NOTATION.fullmatch(item.text)
    if notation and notation["optional"] == "?" and not column.nullable:
        return f"the plan lets it be null, {column} does not."
    decimal = re.fullmatch(r"Decimal\((\d+),(\d+)\)", (notation and notation["type"]) or "")
    if decimal:
        kind = column.type
        asked = (int(decimal[1]), int(decimal[2]))
        if not isinstance(kind, Numeric) or (kind.precision, kind.scale) != asked:
            return f"the plan says {decimal[0]}, {column} is {kind!r}."
    return ""


def _reference_problem(item: Item, column: Column[Any]) -> str:
    """A key bound by the line alone (an adopted users table) is the named test's to show."""
    cascades = item.text.endswith(" cascade")
    for key in column.foreign_keys:
        if cascades and (key.ondelete or "").upper() != "CASCADE":
            return f"the plan deletes it with its parent, {column} does not."
    return ""


def _rules(table: Table[Any], *, unique: bool) -> Iterator[list[str]]:
    """The columns of every key, unique rule and index, also those inside an expression."""
    yield [column.name for column in table.primary_key.columns]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns]
    for index in table.indexes:
        if index.unique or not unique:
            yield [column.name for column in index.columns]
