"""The traceability ledger: what the five plans ask for, and what stands for it here.

`docs/traceability/plan-*.toml` list every model, field, rule, script and document of the plans;
`docs/traceability/README.md` says how they are written and how an item is marked as done. Here
they are read. What a mark claims is looked up in `traceability_claims.py`.

Run as a program, it prints what is done and what is open:

    python -m tests.house.traceability              one line per plan
    python -m tests.house.traceability D.User       every item whose id starts so, and its place
    python -m tests.house.traceability --lower      write the smaller open_max after a mark
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "traceability"

# A field as the plans write it: its name, `?` when it may be null, a type, a default.
NOTATION = re.compile(
    r"(?P<name>\w+)(?P<optional>\?|\[\])?(?: (?P<type>[^=]+?))?(?: = (?P<default>.+))?"
)
MARK_KEYS = frozenset({"place", "test", "open", "columns"})
MODEL_KEYS = frozenset(
    {"fields", "proposed", "relations", "unique", "index", "references", "table", "append_only"}
)


class LedgerError(Exception):
    """A file of the ledger cannot be read as one; the message names the file and the line's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing a plan asks for. `owner` is its model or enum, "" when it stands by itself."""

    plan: str
    kind: str
    key: str
    text: str
    owner: str = ""
    detail: str = ""

    @property
    def id(self) -> str:
        """The item's name for good, such as `D.User.clerkId` or `A.step.023`."""
        return f"{self.plan}.{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The claim that an item is done: where it is, and which test shows it."""

    place: str
    test: str
    open: frozenset[str] = frozenset()
    columns: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan: its items, the marks, and how many items may still be open."""

    letter: str
    title: str
    open_max: int
    items: tuple[Item, ...]
    marks: dict[str, Mark]
    exact_enums: frozenset[str]
    path: Path

    def mark_of(self, item: Item) -> Mark | None:
        """Return the item's own mark, else its model's or enum's; None while it is open."""
        if item.key in self.marks:
            return self.marks[item.key]
        mark = self.marks.get(item.owner)
        return None if mark is None or item.detail in mark.open else mark

    @property
    def open_items(self) -> tuple[Item, ...]:
        """The items that nothing stands for yet."""
        return tuple(item for item in self.items if self.mark_of(item) is None)

    @property
    def kinds(self) -> Counter[str]:
        """How many items of each kind the plan has."""
        return Counter(item.kind for item in self.items)


def name_of(notation: str) -> str:
    """Return the bare name in a field's notation: `email? String` is `email`."""
    found = NOTATION.fullmatch(notation)
    if found is None:
        raise LedgerError(f"{notation!r} is not a field: write `name? Type = default`.")
    return found["name"]


def _model_items(letter: str, name: str, model: dict[str, Any], common: list[str]) -> list[Item]:
    unknown = model.keys() - MODEL_KEYS
    if unknown:
        raise LedgerError(f"{letter}.{name}: unknown key {sorted(unknown)}.")

    def item(kind: str, detail: str, text: str) -> Item:
        key = f"{name}.{detail}"
        return Item(plan=letter, kind=kind, key=key, text=text, owner=name, detail=detail)

    items = [Item(plan=letter, kind="model", key=name, text=model.get("table", ""), owner=name)]
    every = common[:1] if model.get("append_only") else common
    for text in [*every, *model.get("fields", []), *model.get("proposed", [])]:
        items.append(item("field", name_of(text), text))
    for text in model.get("relations", []):
        items.append(item("relation", name_of(text), text))
    for kind in ("unique", "index"):
        for text in model.get(kind, []):
            items.append(item(kind, f"{kind}({text.replace(' ', '')})", text))
    for text in model.get("references", []):
        items.append(item("reference", f"references({text.split(' ')[0]})", text))
    return items


def _enum_items(letter: str, kind: str, name: str, enum: dict[str, Any]) -> list[Item]:
    items = [Item(plan=letter, kind=kind, key=name, text="", owner=name)]
    for member in [*enum.get("members", []), *enum.get("proposed", [])]:
        key = f"{name}.{member}"
        items.append(
            Item(plan=letter, kind="member", key=key, text=member, owner=name, detail=member)
        )
    return items


def _marks(letter: str, done: dict[str, dict[str, Any]]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    for key, mark in done.items():
        if not {"place", "test"} <= mark.keys() <= MARK_KEYS:
            raise LedgerError(f'{letter}: [done."{key}"] has `place` and `test`, not {list(mark)}.')
        marks[key] = Mark(
            place=mark["place"],
            test=mark["test"],
            open=frozenset(mark.get("open", [])),
            columns=mark.get("columns", {}),
        )
    return marks


def parse(text: str, path: Path) -> Plan:
    """Read one plan's file. Raises LedgerError when it is not written as README.md says."""
    tables = tomllib.loads(text)
    head = tables.pop("plan")
    letter: str = head["letter"]
    marks = _marks(letter, tables.pop("done", {}))
    items: list[Item] = []
    exact_enums: set[str] = set()
    for kind, entries in tables.items():
        for name, entry in entries.items():
            if kind == "model":
                items += _model_items(letter, name, entry, head.get("every_model", []))
            elif kind in ("enum", "set"):
                items += _enum_items(letter, kind, name, entry)
                if "members" in entry:
                    exact_enums.add(name)
            else:
                items.append(Item(plan=letter, kind=kind, key=f"{kind}.{name}", text=entry))
    return Plan(
        letter=letter,
        title=head["title"],
        open_max=head["open_max"],
        items=tuple(items),
        marks=marks,
        exact_enums=frozenset(exact_enums),
        path=path,
    )


def read() -> tuple[Plan, ...]:
    """Read the whole ledger, plan A first."""
    return tuple(parse(path.read_text(), path) for path in sorted(FOLDER.glob("plan-*.toml")))


def summary(plans: tuple[Plan, ...]) -> str:
    """Return the table of what is done, one line per plan and one for all."""
    rows = [
        (f"{plan.letter}  {plan.title}", len(plan.items), len(plan.open_items)) for plan in plans
    ]
    rows.append(("   all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    lines = [f"{'plan':<32}{'items':>7}{'done':>7}{'open':>7}{'':>6}"]
    for title, total, still_open in rows:
        done = total - still_open
        lines.append(f"{title:<32}{total:>7}{done:>7}{still_open:>7}{done / total:>6.0%}")
    return "\n".join(lines)


def listing(plans: tuple[Plan, ...], prefix: str) -> str:
    """Return every item whose id starts with the prefix: done or open, its place or its text."""
    lines: list[str] = []
    for plan in plans:
        for item in plan.items:
            if item.id.startswith(prefix):
                mark = plan.mark_of(item)
                state, said = ("open", item.text) if mark is None else ("done", mark.place)
                lines.append(f"{state}  {item.id:<50} {said}")
    return "\n".join(lines)


def lower(plan: Plan) -> None:
    """Write the number of open items into the plan's file; it never rises."""
    count = len(plan.open_items)
    if count > plan.open_max:
        raise LedgerError(f"Plan {plan.letter}: {count} items are open, {plan.open_max} at most.")
    text = plan.path.read_text()
    plan.path.write_text(
        re.sub(r"^open_max = \d+$", f"open_max = {count}", text, count=1, flags=re.MULTILINE)
    )


def main(arguments: list[str]) -> None:
    """Print the summary or a listing, or lower every plan's open_max."""
    if arguments == ["--lower"]:
        for plan in read():
            lower(plan)
    print(
        listing(read(), arguments[0])
        if arguments and arguments[0] != "--lower"
        else summary(read())
    )


if __name__ == "__main__":
    main(sys.argv[1:])
