"""Runs every rule over statements in their order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from bedplate.operations.migrate.lint import (
    attach_partition,
    blocking_index,
    cascade,
    concurrently,
    detach_partition,
    drop,
    enum_label,
    exclusion_constraint,
    full_rewrite,
    held_validation,
    hidden_code,
    if_not_exists,
    lock_order,
    not_null,
    persistence,
    rename,
    replication_role,
    squawk,
    stored_generated,
    timeouts,
    transaction_control,
    truncate,
    type_change,
    unbounded_write,
    unique_constraint,
    unvalidated_constraint,
    view_change,
    volatile_default,
)
from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement
from bedplate.operations.migrate.tokens import SqlUnreadable, statements

RULES: tuple[Callable[[Statement, Facts], Iterator[Finding]], ...] = tuple(
    hazard.look
    for hazard in (
        *(volatile_default, type_change, not_null, unvalidated_constraint, blocking_index),
        *(rename, drop, cascade, enum_label, lock_order, truncate, unbounded_write, persistence),
        *(full_rewrite, exclusion_constraint, unique_constraint, view_change, if_not_exists),
        *(timeouts, replication_role, stored_generated, transaction_control, concurrently),
        *(attach_partition, detach_partition, held_validation, hidden_code),
    )
)


def lint(
    texts: Iterable[str],
    existing_tables: Collection[str] | None = None,
    *,
    transactional: bool = True,
    made: Collection[str] = (),
    history: Sequence[Statement] = (),
    squawk_at: str | None = None,
) -> tuple[Finding, ...]:
    """Find hazards in the statements of one revision; tables that the plan creates are exempt.

    A text may hold several statements. `existing_tables` are those that were there before, as
    schema.name: None means all that the plan does not create. `made` are tables, and `history`
    statements, of earlier revisions. `squawk_at` is the program whose rules are asked too.
    """
    found: list[Finding] = []
    earlier: list[Statement] = []
    new = set(made)
    for statement in split(texts):
        facts = Facts(existing_tables, new, earlier, history, transactional)
        for look in RULES:
            found.extend(look(statement, facts))
        earlier.append(statement)
        if statement.creates is not None:
            new.add(statement.creates)
    if squawk_at is not None and earlier:
        found.extend(squawk.look(earlier, squawk_at))
    return tuple(found)


def split(texts: Iterable[str]) -> Iterator[Statement]:
    """Return the statements of texts one by one; what cannot be read stays one."""
    for text in texts:
        try:
            for words in statements(text):
                yield Statement(text[words[0].start : words[-1].end])
        except SqlUnreadable:
            # The server will refuse it with its own, better message.
            continue
