"""What went wrong in a revision, said in one sentence without row values."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError

from bedplate.kernel.errors import BedplateError, MigrationFailed
from bedplate.kernel.lines import Line

LOCK_CONFLICTS = frozenset({"55P03", "40P01", "40001"})
VALUE_ERRORS = "22"
STATEMENT_CHARACTERS_MAX = 120

NEXT_STEPS = {
    "42501": "Grant the owner's role what the statement needs"
    " (SELECT and REFERENCES on an adopted table), then apply again.",
    "55P03": "Find who holds the lock with pg_blocking_pids(), or wait, then apply again.",
    "25001": "Write transactional = False at the top of the revision's file.",
    "57014": "Split the revision, or run it when the database is less busy.",
    "53100": "Free some disk space, then apply again.",
}
NEXT_STEP = "Nothing of it was kept: correct the revision or the data, then apply again."

STOPPED_NEXT_STEP = (
    "Its earlier statements are kept: correct the revision or the data, then apply again;"
    " it goes on from there."
)


def is_lock_conflict(error: BaseException) -> bool:
    """Tell whether the step may run again unchanged: another transaction stood in its way."""
    driver = _driver_error(error)
    return driver is not None and driver.sqlstate in LOCK_CONFLICTS


def statement_of(error: BaseException) -> str:
    """Return the statement of a transaction that failed; empty where it was no statement."""
    return (error.statement or "") if isinstance(error, DBAPIError) else ""


def explained(
    line: Line, revision: str, error: BaseException, next_step: str = NEXT_STEP
) -> BedplateError:
    """Return the error to raise for a revision that failed."""
    if isinstance(error, BedplateError):
        return error
    what = f"Module {line.name}, revision {revision} failed"
    driver = _driver_error(error)
    if driver is None:
        return MigrationFailed(f"{what} with {type(error).__name__}: {error}.", next_step)
    state = driver.sqlstate or "no SQLSTATE"
    place = _first_line(error)
    at = f", at: {place}" if place else ""
    return MigrationFailed(
        f"{what} with {state} ({_message(driver)}){at}.", NEXT_STEPS.get(state, next_step)
    )


def stopped(module: str, revision: str, statement: str, error: psycopg.Error) -> MigrationFailed:
    """Return the error to raise where a statement failed that had no transaction around it."""
    place = " ".join(statement.split())[:STATEMENT_CHARACTERS_MAX]
    return MigrationFailed(
        f"Module {module}, revision {revision} stopped with"
        f" {error.sqlstate or 'no SQLSTATE'} ({_message(error)}), at: {place}.",
        NEXT_STEPS.get(error.sqlstate or "", STOPPED_NEXT_STEP),
    )


def _driver_error(error: BaseException) -> psycopg.Error | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    return original if isinstance(original, psycopg.Error) else None


def _message(error: psycopg.Error) -> str:
    """The server's primary message, except where that quotes a value out of a row."""
    state = error.sqlstate or ""
    if state.startswith(VALUE_ERRORS):
        return type(error).__name__
    return error.diag.message_primary or type(error).__name__


def _first_line(error: BaseException) -> str:
    lines = (line.strip() for line in _lines(statement_of(error)))
    first = next((line for line in lines if line), "")
    return first[:STATEMENT_CHARACTERS_MAX]


def _lines(statement: str) -> Iterator[str]:
    for line in statement.splitlines():
        yield line.split("--")[0]
