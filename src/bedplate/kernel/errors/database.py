"""What PostgreSQL refuses, told apart by SQLSTATE."""

from __future__ import annotations

from bedplate.kernel.errors.root import BedplateError


class DatabaseError(BedplateError):
    """PostgreSQL refused a statement; `sqlstate` says why."""

    code = "database"
    advice = "Look the SQLSTATE up in PostgreSQL's manual (appendix A); the server's log says more."
    sqlstate: str = ""


class IntegrityError(DatabaseError):
    """A rule of the schema was broken; `constraint` and `columns` name it."""

    code = "integrity"
    advice = "Correct the values; the rule is described in the data dictionary."
    constraint: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()


class UniqueViolation(IntegrityError):
    """Another row already has these values."""

    code = "unique_violation"
    advice = "Choose other values, or use upsert()."


class ForeignKeyViolation(IntegrityError):
    """The referenced row does not exist, or this row is still referenced."""

    code = "foreign_key_violation"
    advice = "Create the referenced row first, or remove what refers to this one."


class ActorUnknown(ForeignKeyViolation):
    """Who is said to act is none of the users, so the audit log cannot name who did it."""

    code = "actor_unknown"
    advice = "Pass the key of an existing user as actor=, or no actor for the system itself."


class CheckViolation(IntegrityError):
    """A CHECK rule refuses the row."""

    code = "check_violation"
    advice = "Correct the values; the rule is described in the data dictionary."


class NotNullViolation(IntegrityError):
    """A required column got no value."""

    code = "not_null_violation"
    advice = "Give the column a value."


class ExclusionViolation(IntegrityError):
    """The row overlaps another that excludes it."""

    code = "exclusion_violation"
    advice = "Choose a range that does not overlap."


class DataError(DatabaseError):
    """A value is out of range or of the wrong form for its type or operation."""

    code = "data"
    advice = "Correct the value's type, range or length."


class PermissionDenied(DatabaseError):
    """The role may not do this."""

    code = "permission_denied"
    advice = "Run it as a role that holds the privilege; lines grant what the app role needs."


class ReadOnly(DatabaseError):
    """A write was tried through a Reader, or on a read-only server."""

    code = "read_only"
    advice = "Use db.transaction() to write."


class AppendOnly(DatabaseError):
    """The rows of this table are history: they are added, never changed or removed."""

    code = "append_only"
    advice = "Correct it with a new row: a refund, a release, a further entry."


class StaleVersion(DatabaseError):
    """The row changed since it was read."""

    code = "stale_version"
    advice = "Read the row again and repeat the change on the new version."


class LockTimeout(DatabaseError):
    """A lock was not granted within `lock_timeout_ms`."""

    code = "lock_timeout"
    advice = "Try again, or find the transaction that holds the lock."


class StatementTimeout(DatabaseError):
    """A statement ran longer than `statement_timeout_ms`, or was cancelled."""

    code = "statement_timeout"
    advice = "Make the statement cheaper, or raise statement_timeout_ms for it."


class RetryableError(DatabaseError):
    """Safe to run again from the start of the transaction."""

    code = "retryable"
    advice = "Run the whole transaction again; db.retry() does it for you."


class SerializationFailure(RetryableError):
    """Concurrent transactions could not be ordered."""

    code = "serialization_failure"
    advice = "Run the whole transaction again; db.retry() does it for you."


class Deadlock(RetryableError):
    """Transactions waited for one another in a circle; this one was ended."""

    code = "deadlock"
    advice = "Run the whole transaction again; db.retry() does it for you."
