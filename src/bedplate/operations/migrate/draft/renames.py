"""Something went and something like it came: asked, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bedplate.catalog import Schema, Table
from bedplate.kernel.errors import RenameUndecided, UsageError
from bedplate.operations.migrate.draft.known import without_model
from bedplate.operations.migrate.draft.names import quoted


@dataclass(frozen=True, slots=True)
class Question:
    """Is `old`, which went, now called one of `candidates`, which came?  Names are full."""

    old: str
    candidates: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The question in words."""
        return f"{self.old} went and {', '.join(self.candidates)} came: was it renamed?"


Ask = Callable[[Question], str | None]
"""Answers with the new name, or None where it was no rename."""


@dataclass(frozen=True, slots=True)
class Rename:
    """One thing with a new name; `table` is where a column is."""

    old: str
    new: str
    table: str | None

    def statement(self) -> str:
        """The SQL that gives it the new name."""
        return _statement(self.table, self.old, self.new)

    def back(self) -> str:
        """The SQL that gives it the old name again."""
        table = self.table
        return _statement(table, self.new, self.old)


class Answers:
    """What is known of renames: said beforehand, or asked."""

    def __init__(self, given: Mapping[str, str], ask: Ask | None) -> None:
        self.given = dict(given)
        self.ask = ask
        self.used: set[str] = set()

    def of(self, question: Question) -> str | None:
        """Return the new name or None; raises RenameUndecided where nobody can be asked."""
        for old, new in self.given.items():
            if question.old == old or question.old.endswith(f".{old}"):
                self.used.add(old)
                return self._checked(question, new)
        if self.ask is None:
            new = question.candidates[0]
            raise RenameUndecided(
                question.sentence,
                f"Say so: --rename {question.old}={new.rpartition('.')[2]} for a rename,"
                f" --rename {question.old}= where the one is to be dropped.",
            )
        return self.ask(question)

    def refuse_unused(self) -> None:
        """Raise UsageError for an answer to a question that did not come up."""
        for old in self.given.keys() - self.used:
            raise UsageError(
                f"--rename {old}: nothing of that name went.",
                "Name what the line makes and the models no longer have.",
            )

    def _checked(self, question: Question, new: str) -> str | None:
        if not new:
            return None
        for candidate in question.candidates:
            if candidate == new or candidate.endswith(f".{new}"):
                return candidate
        raise UsageError(
            f"--rename {question.old}={new}: {new} is none of what came.",
            f"Name one of {', '.join(question.candidates)}.",
        )


def tables_renamed(line: Schema, models: Schema | None, answers: Answers) -> Iterator[Rename]:
    """Return the tables that the answers say were renamed."""
    came = [
        table.name
        for table in (models.tables if models is not None else ())
        if table.name not in {each.name for each in line.tables}
    ]
    for name in without_model(line, models):
        if not came:
            return
        candidates = tuple(f"{line.name}.{each}" for each in came)
        new = answers.of(Question(f"{line.name}.{name}", candidates))
        if new is not None:
            yield Rename(f"{line.name}.{name}", new, None)
            came.remove(new.rpartition(".")[2])


def columns_renamed(line: Table, model: Table, answers: Answers) -> Iterator[Rename]:
    """Return the columns that the answers say were renamed; the table has its model's name."""
    before = [column.name for column in line.columns]
    after = [column.name for column in model.columns]
    came = [name for name in after if name not in before]
    for name in before:
        if name in after:
            continue
        if not came:
            return
        candidates = tuple(f"{model.full_name}.{each}" for each in came)
        new = answers.of(Question(f"{model.full_name}.{name}", candidates))
        if new is not None:
            column = new.rpartition(".")[2]
            yield Rename(name, column, model.full_name)
            came.remove(column)


def _statement(table: str | None, old: str, new: str) -> str:
    if table is not None:
        place = quoted(*table.split(".", 1))
        return f"ALTER TABLE {place} RENAME COLUMN {quoted(old)} TO {quoted(new)}"
    name = quoted(new.split(".", 1)[1])
    return f"ALTER TABLE {quoted(*old.split('.', 1))} RENAME TO {name}"
