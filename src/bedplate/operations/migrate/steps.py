"""Runs one step: one revision, up or down, in one transaction with the version it leads to."""

from __future__ import annotations

import random
import time
from functools import partial

from bedplate.catalog import Connection
from bedplate.kernel.lines import LineContext
from bedplate.operations.migrate import alembic_bridge, books, schemas, stepwise
from bedplate.operations.migrate.failures import explained, is_lock_conflict
from bedplate.operations.migrate.places import definitions_of
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.surroundings import Surroundings
from bedplate.operations.migrate.watch import Watch

# DDL queues for its lock and everything else queues behind it: better to give way soon and often.
LOCK_TIMEOUT_MS = 2_000
LOCK_ATTEMPTS_MAX = 10
LOCK_PAUSE_S = (0.1, 1.0)
STATEMENT_TIMEOUT_S = 3_600


def run(step: Step, surroundings: Surroundings) -> Receipt:
    """Run one step, giving way to others' locks a bounded number of times; return its receipt.

    Raises UndeclaredTouch and other MigrationFailed, or SchemaRefused; the transaction is then
    rolled back whole.
    """
    revision = alembic_bridge.describe(step.line, step.revision)
    if not revision.transactional:
        return stepwise.run_stepwise(step, surroundings, revision)
    for attempt in range(1, LOCK_ATTEMPTS_MAX + 1):
        try:
            return _run_once(step, surroundings, revision)
        except Exception as error:
            if is_lock_conflict(error) and attempt < LOCK_ATTEMPTS_MAX:
                # Jitter, so that two runners that collided do not collide again.
                time.sleep(random.uniform(*LOCK_PAUSE_S))
                continue
            raise explained(step.line, step.revision, error) from None
    raise AssertionError("the last attempt returns or raises")


def _run_once(step: Step, surroundings: Surroundings, revision: Revision) -> Receipt:
    watch = Watch(step, revision)
    with alembic_bridge.transaction(surroundings.url, watch) as transaction:
        raw = transaction.raw
        _limit(raw)
        if step.before is None:
            roles = (surroundings.app, surroundings.reader, surroundings.guarded)
            schemas.create(raw, step.line, *roles)
        has_books = books.ensure(raw, surroundings.app, surroundings.reader)
        context = LineContext(
            schema=step.line.schema,
            execute=transaction.execute,
            bindings=surroundings.bindings,
            homes=surroundings.homes,
            app=surroundings.app,
            reader=surroundings.reader,
            guarded=surroundings.guarded,
            definitions=partial(definitions_of, raw, step.line.schema, surroundings.roles),
        )
        watch.begin(raw)
        alembic_bridge.run(transaction, step.line, step.revision, step.direction, context)
        receipt, document = watch.end()
        schemas.record(raw, step.line, before=step.before, after=step.after)
        if has_books:
            books.append(raw, "receipts", {**document, "proof": surroundings.proof})
        if step.after is None:
            schemas.drop(raw, step.line)
    return receipt


def _limit(raw: Connection) -> None:
    limits = {
        "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
        "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    }
    for name, value in limits.items():
        raw.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
