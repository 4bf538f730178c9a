"""Tables and views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedplate.catalog.objects.grants import Grant
from bedplate.catalog.objects.parts import Column, Constraint, Index, Policy, Rule, Trigger

TableKind = Literal["table", "partitioned table", "view", "materialized view", "foreign table"]


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view, with all that belongs to it.

    `partition_of` is the parent's full name, `bound` what lies in this partition; `partition_key`
    is the parent's (`RANGE (at)`). `query` is a view's. `options` is what WITH takes; `settings`
    what ALTER TABLE sets beyond that (`REPLICA IDENTITY FULL`).
    """

    schema: str
    name: str
    kind: TableKind
    comment: str | None
    partition_of: str | None
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[Trigger, ...]
    owner: str = ""
    bound: str | None = None
    partition_key: str | None = None
    inherits: tuple[str, ...] = ()
    query: str | None = None
    unlogged: bool = False
    options: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    row_security: Literal["", "enabled", "forced"] = ""
    rules: tuple[Rule, ...] = ()
    policies: tuple[Policy, ...] = ()
    grants: tuple[Grant, ...] = ()

    @property
    def full_name(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The key's columns, or none."""
        keys = (rule.columns for rule in self.constraints if rule.kind == "primary key")
        return next(keys, ())

    @property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        """The foreign keys, by name."""
        return tuple(rule for rule in self.constraints if rule.kind == "foreign key")

    def is_unique(self, columns: tuple[str, ...]) -> bool:
        """Tell whether at most one row can hold the same values in these columns."""
        return any(
            index.unique and index.predicate is None and set(index.keys) <= set(columns)
            for index in self.indexes
        )

    @property
    def definition(self) -> str:
        """What is the table's own, without its parts: a view's query, how it is partitioned."""
        words = ["UNLOGGED"] if self.unlogged else []
        words += [f"INHERITS ({', '.join(self.inherits)})"] if self.inherits else []
        words += [f"PARTITION BY {self.partition_key}"] if self.partition_key else []
        words += [f"WITH ({', '.join(self.options)})"] if self.options else []
        words += [", ".join(self.settings)] if self.settings else []
        words += [f"AS\n{self.query}"] if self.query else []
        return " ".join(words)
