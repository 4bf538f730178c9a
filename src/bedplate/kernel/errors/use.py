"""What goes wrong around statements: connections, the caller's code, keys without rows."""

from __future__ import annotations

from bedplate.kernel.errors.root import BedplateError


class ConnectionFailed(BedplateError):
    """No usable connection to the database."""

    code = "connection_failed"


class DatabaseUnreachable(ConnectionFailed):
    """Nothing answers at the database's address."""

    code = "database_unreachable"
    advice = "Check that the server runs and that DATABASE_URL names its host and port."


class AuthenticationFailed(ConnectionFailed):
    """The server refuses this user, password or database."""

    code = "authentication_failed"
    advice = "Check the user, password and database name in DATABASE_URL."


class ConnectionLost(ConnectionFailed):
    """The connection broke. If it broke during COMMIT, the outcome is unknown."""

    code = "connection_lost"
    advice = "Run the transaction again; give verbs that must not repeat an idempotency key."


class PoolTimeout(ConnectionFailed):
    """Every connection, or the row's line, stayed busy longer than `pool_wait_timeout_ms`."""

    code = "pool_timeout"
    advice = "Shorten transactions, raise pool_size_max, or shed load."


class UsageError(BedplateError):
    """The caller's code is wrong; nothing was sent to the database."""

    code = "usage"


class RenameUndecided(UsageError):
    """Something went and something like it came: a rename, or two things? Nothing was written."""

    code = "rename_undecided"


class FieldUnknown(UsageError):
    """The model has no such field."""

    code = "field_unknown"


class FieldInvalid(UsageError):
    """A value does not fit its field."""

    code = "field_invalid"


class FloatRefused(FieldInvalid):
    """A float was given where money is counted; floats cannot hold cents exactly."""

    code = "float_refused"
    advice = 'Pass a Decimal built from text, such as Decimal("9.99").'


class FieldNotBound(UsageError):
    """The adopted table has no column for this field."""

    code = "field_not_bound"


class FieldNotLoaded(UsageError):
    """The query did not select this field, and nothing loads lazily."""

    code = "field_not_loaded"


class RelationNotLoaded(UsageError):
    """The query did not include this relation, and nothing loads lazily."""

    code = "relation_not_loaded"


class TableNotWritable(UsageError):
    """The table is adopted from a host and bound read-only."""

    code = "table_not_writable"


class CursorInvalid(UsageError):
    """A page cursor is foreign, tampered with, or belongs to another filter or order."""

    code = "cursor_invalid"
    advice = "Start again from the first page."


class LimitExceeded(UsageError):
    """More rows or a larger batch than the stated limit."""

    code = "limit_exceeded"


class HandleClosed(UsageError):
    """The transaction or reader is already over."""

    code = "handle_closed"
    advice = "Open a new one with db.transaction() or db.read()."


class Suspended(UsageError):
    """A coroutine driven by `wait` waited on something other than the database."""

    code = "suspended"


class NotFound(BedplateError):
    """No row has that key."""

    code = "not_found"
    advice = "Use find() where a missing row is expected."


class IdempotencyConflict(BedplateError):
    """The idempotency key was already used for another request."""

    code = "idempotency_conflict"
    advice = "Use a new key for a new request; repeat a request exactly to get its answer again."


class LeaseLost(BedplateError):
    """The row is no longer this holder's: its lease ran out, and another took or ended the work."""

    code = "lease_lost"
    advice = "Stop, and write nothing more for it: whoever holds it now does the work."
