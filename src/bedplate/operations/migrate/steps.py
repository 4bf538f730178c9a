"""Runs one step: one revision, up or down, in one transaction with the version it leads to."""

from __future__ import annotations

from functools import partial

from bedplate.catalog import Connection, connect
from bedplate.operations.migrate import alembic_bridge, books, patience, schemas, stepwise
from bedplate.operations.migrate.failures import explained, statement_of
from bedplate.operations.migrate.make_way import make_way
from bedplate.operations.migrate.patience import giving_way
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.surroundings import Surroundings
from bedplate.operations.migrate.watch import Watch


def run(step: Step, surroundings: Surroundings) -> Receipt:
    """Run one step, giving way to others' locks a bounded number of times; return its receipt.

    Raises UndeclaredTouch and other MigrationFailed, or SchemaRefused; the transaction is then
    rolled back whole.
    """
    revision = alembic_bridge.describe(step.line, step.revision)
    if not revision.transactional:
        return stepwise.run_stepwise(step, surroundings, revision)
    try:
        attempt = partial(_run_once, step, surroundings, revision)
        return giving_way(attempt, partial(_make_way, surroundings.url))
    except Exception as error:
        raise explained(step.line, step.revision, error) from None


def _make_way(url: str, error: BaseException) -> None:
    with connect(url, autocommit=True, purpose="migrate") as connection:
        make_way(connection, statement_of(error))


def _run_once(
    step: Step, surroundings: Surroundings, revision: Revision, lock_timeout_ms: int
) -> Receipt:
    watch = Watch(step, revision)
    with surroundings.session.transaction(watch) as transaction:
        raw = transaction.raw
        _limit(raw, lock_timeout_ms)
        if step.before is None:
            roles = (surroundings.app, surroundings.reader, surroundings.guarded)
            schemas.create(raw, step.line, *roles)
        has_books = books.ensure(raw, surroundings.app, surroundings.reader)
        context = surroundings.context(step.line.schema, transaction.execute, raw)
        watch.begin(raw)
        alembic_bridge.run(transaction, step.line, step.revision, step.direction, context)
        receipt, document = watch.end()
        schemas.record(raw, step.line, before=step.before, after=step.after)
        if has_books:
            books.note(raw, *surroundings.decisions)
            books.append(raw, "receipts", {**document, "proof": surroundings.proof})
        if step.after is None:
            schemas.drop(raw, step.line)
    return receipt


def _limit(raw: Connection, lock_timeout_ms: int) -> None:
    limits = {
        "lock_timeout": f"{lock_timeout_ms}ms",
        "statement_timeout": f"{patience.STATEMENT_TIMEOUT_S}s",
    }
    for name, value in limits.items():
        raw.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
