"""Bring every line to its head, without asking for a proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bedplate.catalog import Connection, connect
from bedplate.kernel.bindings import Binding
from bedplate.kernel.lines import Line
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import alembic_bridge, audit_view, books, lock
from bedplate.operations.migrate.books import Decision
from bedplate.operations.migrate.receipt import OnReceipt
from bedplate.operations.migrate.revisions_kept import applied, refuse_edited
from bedplate.operations.migrate.status import LineStatus, read_status, refuse_foreign
from bedplate.operations.migrate.step import OnStep, Step
from bedplate.operations.migrate.steps import run
from bedplate.operations.migrate.surroundings import survey
from bedplate.operations.migrate.target import Target

Guard = Callable[[Connection], None]
"""Looks at the database under the migration lock; raises to stop before the first step."""


def apply_unproven(
    registry: Registry,
    *,
    owner_url: str,
    app_url: str | None = None,
    bindings: Mapping[str, Binding] | None = None,
    on_step: OnStep | None = None,
    on_receipt: OnReceipt | None = None,
) -> tuple[LineStatus, ...]:
    """Run every pending revision, the kernel's first, each in a transaction of its own.

    For databases that nobody minds losing: a test's, a rehearsal's copy. Everything else goes
    through `apply`, which asks for the rehearsal's proof and runs this.

    Safe to repeat and to run from several places at once: one migrates, the others wait and find
    nothing left to do. `app_url` is the app's, for the grants; without one there are none. What
    was applied before a failure stays, and the next apply goes on from there.

    Raises SchemaNotOurs, SchemaRefused, OutdatedLine (the database is ahead of the code),
    MigrationFailed, DatabaseUnreachable, AuthenticationFailed.
    """
    target = Target(
        registry=registry,
        owner_url=owner_url,
        folder=Path(),
        app_url=app_url,
        bindings=bindings or {},
    )
    return run_pending(target, on_step=on_step, on_receipt=on_receipt)


def run_pending(
    target: Target,
    *,
    proof: str | None = None,
    guard: Guard | None = None,
    decisions: Sequence[Decision] = (),
    on_step: OnStep | None = None,
    on_receipt: OnReceipt | None = None,
) -> tuple[LineStatus, ...]:
    """Run every pending revision; see `apply_unproven` and `apply`, which decide whether to.

    `proof` is the hash of the proof, for the receipts. `guard` looks once more under the migration
    lock, before the first step, and raises to stop everything. `decisions` are written into the
    journal before the first step, or with the one that makes the journal.
    """
    lines = target.registry.lines
    with connect(target.owner_url, autocommit=True, purpose="migrate") as connection:
        before = read_status(connection, lines)
        refuse_edited(connection, applied(lines, before))
        # Enabling or disabling a module that was migrated before leaves nothing but the view to do.
        is_current = audit_view.is_current(connection, target.registry)
        if not list(_pending(lines, before)) and is_current and books.present(connection):
            return before
    for line in lines:
        alembic_bridge.verify(line)
    with lock.held(target.owner_url) as migration_lock:
        # Whoever held the lock before may have done everything: what was read then is stale now.
        connection = migration_lock.connection
        pending = list(_pending(lines, read_status(connection, lines)))
        if pending and guard is not None:
            guard(connection)
        found = survey(
            target.registry, connection, target.owner_url, target.app_url, target.bindings
        )
        has_books = books.ensure(connection, found.app, found.reader)
        if has_books and pending:
            books.note(connection, *decisions)
        with replace(found, proof=proof, decisions=() if has_books else decisions) as surroundings:
            for step in pending:
                migration_lock.confirm()
                if on_step is not None:
                    on_step(step)
                receipt = run(step, surroundings)
                # The kernel's first revision has made the books, and written them down.
                surroundings = replace(surroundings, decisions=())
                if on_receipt is not None:
                    on_receipt(receipt)
            audit_view.rebuild(connection, target.registry, surroundings)
        return read_status(connection, lines)


def _pending(lines: Sequence[Line], found: Sequence[LineStatus]) -> Iterator[Step]:
    refuse_foreign(found)
    for line, line_status in zip(lines, found, strict=True):
        before = line_status.current
        for revision in line.pending(before):
            yield Step(line, revision, "up", before, revision)
            before = revision
