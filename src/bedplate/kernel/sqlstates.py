"""The driver's errors, told apart by SQLSTATE and constraint name, never by their text.

Message texts are translated by the server and quote row values; SQLSTATEs are neither. What leaves
here holds names of tables, columns and constraints, and no value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg_pool import PoolClosed
from psycopg_pool import PoolTimeout as DriverPoolTimeout

from bedplate.kernel import errors
from bedplate.kernel.model import Model

_BY_STATE: Mapping[str, type[errors.DatabaseError]] = {
    "23505": errors.UniqueViolation,
    "23503": errors.ForeignKeyViolation,
    "23001": errors.ForeignKeyViolation,
    "23514": errors.CheckViolation,
    "23502": errors.NotNullViolation,
    "23P01": errors.ExclusionViolation,
    "42501": errors.PermissionDenied,
    "25006": errors.ReadOnly,
    "40001": errors.SerializationFailure,
    "40P01": errors.Deadlock,
    "55P03": errors.LockTimeout,
    "57014": errors.StatementTimeout,
    # Our own functions: bedplate.refuse_change(), and what an audit log captures with.
    "BP001": errors.AppendOnly,
    "BP002": errors.ActorUnknown,
}
_BY_CLASS: Mapping[str, type[errors.DatabaseError]] = {
    "22": errors.DataError,
    "23": errors.IntegrityError,
}
DRIVER_ERRORS = (psycopg.Error, UnicodeEncodeError)
"""What running a statement raises. Text with half of a surrogate pair, which JSON can bring in,
already fails in Python's own codec."""

_LOST_STATES = frozenset({"57P01", "57P02", "57P03", "25P03"})
_REFUSED_STATES = frozenset({"28000", "28P01", "3D000"})


def translate(error: Exception) -> errors.BedplateError:
    """Return Bedplate's error for one of the driver's; raise it `from None`.

    The driver's own error quotes row values, so it must not be chained into a traceback.
    """
    if isinstance(error, errors.BedplateError):
        return error
    if isinstance(error, DriverPoolTimeout):
        return errors.PoolTimeout("No connection became free in time.")
    if isinstance(error, PoolClosed):
        return errors.HandleClosed("The database is closed.", "Open the project again.")
    if isinstance(error, UnicodeEncodeError):
        return errors.DataError("A text holds a character that UTF-8 does not have.")
    if not isinstance(error, psycopg.Error):
        return errors.DatabaseError(f"The driver failed with {type(error).__name__}.")
    state = error.sqlstate or ""
    if not state:
        return _without_state(error)
    if state[:2] == "08" or state in _LOST_STATES:
        return errors.ConnectionLost("The server closed the connection.")
    kind = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or errors.DatabaseError
    return _described(kind, state, error)


def unreachable(error: Exception) -> errors.ConnectionFailed:
    """Return the error for a connection that could not be made at all."""
    state = getattr(error, "sqlstate", None) or ""
    text = str(error)
    # Before the protocol starts libpq has no SQLSTATE: its fixed English text is all there is.
    refused = ("authentication failed", "does not exist", "no password supplied")
    if state in _REFUSED_STATES or any(phrase in text for phrase in refused):
        return errors.AuthenticationFailed("The server refuses this user, password or database.")
    return errors.DatabaseUnreachable("The database cannot be reached.")


def _without_state(error: psycopg.Error) -> errors.BedplateError:
    if isinstance(error, psycopg.OperationalError):
        return errors.ConnectionLost("The connection to the server broke.")
    if isinstance(error, psycopg.DataError):
        return errors.DataError("A value cannot be sent as its column's type.")
    return errors.DatabaseError(f"The driver refused the statement: {type(error).__name__}.")


def _described(
    kind: type[errors.DatabaseError], state: str, error: psycopg.Error
) -> errors.DatabaseError:
    diag = error.diag
    table = ".".join(part for part in (diag.schema_name, diag.table_name) if part)
    columns = _columns(table, diag.constraint_name, diag.column_name)
    described = kind(_sentence(kind, state, table, diag.constraint_name, columns))
    described.sqlstate = state
    if isinstance(described, errors.IntegrityError):
        described.constraint = diag.constraint_name or ""
        described.table = table
        described.columns = columns
    return described


def _sentence(
    kind: type[errors.DatabaseError],
    state: str,
    table: str,
    constraint: str | None,
    columns: tuple[str, ...],
) -> str:
    what = (kind.__doc__ or "PostgreSQL refused the statement.").split("\n")[0].rstrip(".")
    if kind is errors.DatabaseError:
        what = "PostgreSQL refused the statement"
    where = [f"table {table}"] if table else []
    where += [f"columns {', '.join(columns)}"] if columns else []
    where += [f"rule {constraint}"] if constraint else []
    return f"{what} ({', '.join([*where, f'SQLSTATE {state}'])})."


def _columns(table: str, constraint: str | None, column: str | None) -> tuple[str, ...]:
    """Return the columns of a broken rule, as our models declare it."""
    if column:
        return (column,)
    declared = Model.metadata.tables.get(table)
    if declared is None or not constraint:
        return ()
    rules: tuple[Any, ...] = (*declared.constraints, *declared.indexes)
    for rule in rules:
        if rule.name == constraint:
            return tuple(part.name for part in rule.columns) or _written(rule, declared.columns)
    return ()


def _written(rule: Any, columns: Any) -> tuple[str, ...]:
    """Return the columns that a rule written as SQL speaks of: a check, a unique expression."""
    parts: tuple[Any, ...] = getattr(rule, "expressions", None) or (getattr(rule, "sqltext", ""),)
    words = set(re.findall(r"\w+", " ".join(str(part) for part in parts)))
    return tuple(column.name for column in columns if column.name in words)
