"""What comes to a table in use outside of a transaction, in a revision of its own.

An index is built CONCURRENTLY, a rule that was added NOT VALID is validated, a column becomes NOT
NULL behind a check that was validated first. In the transaction that adds a rule nothing would be
gained by validating it apart: the lock of the one is held through the scan of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bedplate.catalog import Column, Constraint, Index, Schema, Table
from bedplate.operations.migrate.draft.names import quoted
from bedplate.operations.migrate.draft.parts import HAS_INDEX
from bedplate.operations.migrate.draft.spelling import respelled

LATER = " NOT VALID"
NAME_CHARACTERS_MAX = 63


@dataclass(frozen=True, slots=True)
class Apart:
    """One thing that comes apart: the statements that bring it, and those that take it back.

    `shape` are the tables that the way back touches beyond what the way there adds.
    """

    name: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    shape: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """`schema` is what one transaction may make of it; `apart` comes after that.

    `unvalidated` are rules that come NOT VALID with it, to be validated apart; `waiting` are
    foreign keys that point at a key that comes apart.
    """

    schema: Schema
    apart: tuple[Apart, ...] = ()
    unvalidated: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def split(made: Schema, wanted: Schema) -> Split:
    """Tell what of the wanted schema has to come apart, as its tables may be in use."""
    before = {table.name: table for table in made.tables if table.kind == "table"}
    found = [_Found(before.get(table.name), table) for table in wanted.tables]
    keys = {key for each in found for key in each.keys}
    tables: list[Table] = []
    waiting: list[str] = []
    for each in found:
        waits = {rule for rule in each.table.constraints if _points_at(rule) in keys}
        waiting += [rule.name for rule in waits]
        rules = tuple(rule for rule in each.table.constraints if rule not in waits)
        tables.append(replace(each.table, constraints=rules))
    return Split(
        replace(wanted, tables=tuple(tables)),
        tuple(apart for each in found for apart in each.apart),
        tuple(name for each in found for name in each.unvalidated),
        tuple(sorted(waiting)),
    )


Key = tuple[str, str, frozenset[str]]
"""Columns that are unique: their table's schema, its name, and theirs."""


@dataclass(slots=True)
class _Found:
    """One table: `table` becomes what of it may come in a transaction."""

    before: Table | None
    table: Table
    apart: list[Apart] = field(default_factory=list[Apart])
    unvalidated: list[str] = field(default_factory=list[str])
    keys: set[Key] = field(default_factory=set[Key])

    def __post_init__(self) -> None:
        if self.before is None or self.table.kind != "table":
            return
        before, after = self.before, self.table
        indexes = set(_new_indexes(before, after))
        uniques = dict(_new_uniques(before, after))
        self.apart += [_index(after, each) for each in after.indexes if each in indexes]
        self.apart += [_unique(after, rule, index) for rule, index in uniques.items()]
        self.keys = {(after.schema, after.name, frozenset(rule.columns)) for rule in uniques}
        self.table = replace(
            after,
            columns=tuple(self._column(each) for each in after.columns),
            constraints=tuple(
                self._rule(each) for each in after.constraints if each not in uniques
            ),
            indexes=tuple(
                each for each in after.indexes if each not in indexes | set(uniques.values())
            ),
        )

    def _rule(self, rule: Constraint) -> Constraint:
        """A rule as a transaction may leave it: one that is new, or says something else, unread."""
        can_wait = rule.kind in ("check", "foreign key") and not rule.inherited
        if not can_wait or rule.definition.endswith((LATER, "NOT ENFORCED")):
            return rule
        assert self.before is not None, "asked of a table that was there"
        old = next((each for each in self.before.constraints if each.name == rule.name), None)
        was = respelled(old.definition) if old is not None else ""
        now = respelled(rule.definition)
        if was == now:
            return rule
        if old is not None and was == now + LATER:
            self.apart.append(_validation(self.table, rule))
            return replace(rule, definition=old.definition)
        self.unvalidated.append(rule.name)
        return replace(rule, definition=rule.definition + LATER)

    def _column(self, column: Column) -> Column:
        """A column as a transaction may leave it: nullable still, where it must not stay so."""
        assert self.before is not None, "asked of a table that was there"
        was = next((each for each in self.before.columns if each.name == column.name), None)
        is_key = any(
            rule.kind == "primary key" and column.name in rule.columns
            for rule in self.table.constraints
        )
        gets_strict = was is not None and was.nullable and not column.nullable
        if not gets_strict or is_key or column.generated or column.identity:
            return column
        self.apart.append(_not_null(self.table, column.name))
        return replace(column, nullable=True)


def _points_at(rule: Constraint) -> Key | None:
    far = rule.references
    return None if far is None else (far.schema, far.table, frozenset(far.columns))


def _new_indexes(before: Table, after: Table) -> Iterator[Index]:
    """The indexes that come; a rule's own is not one."""
    known = {index.name for index in before.indexes}
    known |= {rule.name for rule in after.constraints if rule.kind in HAS_INDEX}
    return (index for index in after.indexes if index.name not in known)


def _new_uniques(before: Table, after: Table) -> Iterator[tuple[Constraint, Index]]:
    """The unique rules that come, each with its index; one that is deferrable cannot take one."""
    known = {rule.name for rule in before.constraints} | {each.name for each in before.indexes}
    indexes = {index.name: index for index in after.indexes}
    for rule in after.constraints:
        plain = rule.kind == "unique" and not rule.inherited and "DEFERR" not in rule.definition
        if plain and rule.name not in known and rule.name in indexes:
            yield rule, indexes[rule.name]


def _building(index: Index) -> str:
    return respelled(index.definition).replace(" INDEX ", " INDEX CONCURRENTLY ", 1)


def _index(table: Table, index: Index) -> Apart:
    drop = f"DROP INDEX CONCURRENTLY {quoted(table.schema, index.name)}"
    return Apart(index.name, (_building(index),), (drop,))


def _unique(table: Table, rule: Constraint, index: Index) -> Apart:
    place, name = f"ALTER TABLE {quoted(table.schema, table.name)}", quoted(rule.name)
    take = f"{place} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
    return Apart(rule.name, (_building(index), take), (f"{place} DROP CONSTRAINT {name}",))


def _validation(table: Table, rule: Constraint) -> Apart:
    place, name = f"ALTER TABLE {quoted(table.schema, table.name)}", quoted(rule.name)
    again = f"{place} ADD CONSTRAINT {name} {respelled(rule.definition)}{LATER}"
    return Apart(
        f"{rule.name}_valid",
        (f"{place} VALIDATE CONSTRAINT {name}",),
        # There is no other way to forget that it holds.
        (f"{place} DROP CONSTRAINT {name}", again),
        shape=(table.full_name,),
    )


def _not_null(table: Table, column: str) -> Apart:
    """A valid check spares SET NOT NULL its scan of the table under an exclusive lock."""
    place, alter = f"ALTER TABLE {quoted(table.schema, table.name)}", quoted(column)
    check = quoted(f"bedplate_{column}_not_null"[:NAME_CHARACTERS_MAX])
    return Apart(
        f"{table.name}_{column}_not_null",
        (
            f"{place} ADD CONSTRAINT {check} CHECK ({alter} IS NOT NULL){LATER}",
            f"{place} VALIDATE CONSTRAINT {check}",
            f"{place} ALTER COLUMN {alter} SET NOT NULL",
            f"{place} DROP CONSTRAINT {check}",
        ),
        (f"{place} ALTER COLUMN {alter} DROP NOT NULL",),
    )
