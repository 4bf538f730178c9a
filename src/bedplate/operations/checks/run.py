"""Run every check, each in a read-only transaction of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from bedplate.catalog import Connection, connect, read_versions
from bedplate.kernel import sqlstates
from bedplate.kernel.bindings import Bindings
from bedplate.kernel.checks import Check
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import BedplateError, FieldNotBound
from bedplate.kernel.pool import Statement
from bedplate.kernel.query import Query
from bedplate.kernel.registry import Registry
from bedplate.operations.checks.builtin import builtin

ROWS_SHOWN_MAX = 20
STATEMENT_TIMEOUT_S = 300

Row = dict[str, str | None]
OnCheck = Callable[["CheckOutcome"], None]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one check found.

    `rows` samples the offending rows as text (at most ROWS_SHOWN_MAX; `more` tells that there are
    others). `problem` says why the check itself could not run, which is not ok either.
    """

    id: str
    title: str
    ok: bool
    rows: tuple[Row, ...]
    more: bool
    seconds: float
    next_step: str
    problem: str | None = None

    @property
    def is_warning(self) -> bool:
        """Tell whether a failure is advice (bedplate.W002), not a broken law (auth.E001)."""
        return self.id.split(".")[1].startswith("W")


def run(
    registry: Registry,
    url: str,
    *,
    bindings: Bindings | None = None,
    on_check: OnCheck | None = None,
) -> tuple[CheckOutcome, ...]:
    """Run Bedplate's own checks and those of every enabled module; `on_check` hears each.

    `bindings` are the project's adopted tables. `url` is the app's: the walls are tried as the
    role that serves. A check that fails or cannot run is an outcome. Raises DatabaseUnreachable,
    AuthenticationFailed or ConnectionLost.
    """
    found: list[CheckOutcome] = []
    dialect = BoundDialect(bindings, registry.adoptable)

    def keep(outcome: CheckOutcome) -> None:
        found.append(outcome)
        if on_check is not None:
            on_check(outcome)

    with connect(url, autocommit=True, purpose="check") as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'".encode())
        keep(_current(connection, registry))
        for check in builtin([line.schema for line in registry.lines]):
            keep(_outcome(connection, check, _statement(check, dialect)))
        for check in registry.checks():
            try:
                statement = _statement(check, dialect)
            except FieldNotBound:
                continue  # The host's table has no such field, so there is no such law.
            keep(_outcome(connection, check, statement))
    return tuple(found)


def _current(connection: Connection, registry: Registry) -> CheckOutcome:
    """Compare the database's revisions with the code's; no single statement can know both."""
    started = time.perf_counter()
    versions = read_versions(connection, registry.lines)
    rows = tuple[Row, ...](
        {
            "module": line.name,
            "database": "a schema that is not Bedplate's"
            if versions[line.name].foreign
            else versions[line.name].revision,
            "code": line.head,
        }
        for line in registry.lines
        if versions[line.name].foreign or versions[line.name].revision != line.head
    )
    return CheckOutcome(
        id="bedplate.E001",
        title="Every module's schema is at the code's revision",
        ok=not rows,
        rows=rows[:ROWS_SHOWN_MAX],
        more=len(rows) > ROWS_SHOWN_MAX,
        seconds=time.perf_counter() - started,
        next_step="Run `bedplate migrate apply`; where the database is ahead, update the code.",
    )


def _statement(check: Check, dialect: BoundDialect) -> Statement:
    if isinstance(check.query, str):
        return check.query.encode(), ()
    return Query[Any](check.query).plan(dialect).bind({})


def _outcome(connection: Connection, check: Check, statement: Statement) -> CheckOutcome:
    started = time.perf_counter()
    rows: tuple[Row, ...] = ()
    problem: str | None = None
    try:
        rows = _offending(connection, statement)
    except psycopg.Error as error:
        if connection.closed:
            raise sqlstates.translate(error) from None
        problem = _problem(sqlstates.translate(error), error)
    return CheckOutcome(
        id=check.id,
        title=check.title,
        ok=not rows and problem is None,
        rows=rows[:ROWS_SHOWN_MAX],
        more=len(rows) > ROWS_SHOWN_MAX,
        seconds=time.perf_counter() - started,
        next_step=check.next_step,
        problem=problem,
    )


def _offending(connection: Connection, statement: Statement) -> tuple[Row, ...]:
    """One row more than is shown, to tell whether there are more."""
    with connection.transaction(), psycopg.RawCursor(connection) as cursor:
        cursor.execute(statement[0], statement[1])
        names = [column.name for column in cursor.description or ()]
        return tuple(
            dict(zip(names, map(_text, row), strict=True))
            for row in cursor.fetchmany(ROWS_SHOWN_MAX + 1)
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _problem(translated: BedplateError, error: psycopg.Error) -> str:
    # 42xxx tells of names and privileges, never of values; it is what a broken check needs said.
    primary = error.diag.message_primary
    return primary if primary and (error.sqlstate or "").startswith("42") else translated.message
