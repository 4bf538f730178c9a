"""Every error Bedplate raises, as one tree.

    BedplateError
    ├── SettingsError                 a key of bedplate.toml, .env or the environment is wrong
    ├── EmbeddedError                 the embedded server
    │   ├── ServerStartFailed         PostgreSQL did not come up; its log says why
    │   ├── PortTaken                 another program listens there
    │   ├── FolderTaken               .bedplate is a file, or belongs to someone else
    │   ├── FolderNotWritable         the place for data cannot be written
    │   └── WrongMajor                the data folder is of another PostgreSQL major version
    ├── RegistryError                 the enabled modules do not fit together
    │   ├── ModuleNotFound            no such module, or it has no MODULE
    │   ├── ModuleCycle               modules require one another in a circle
    │   ├── ModuleMissing             a required module is not enabled
    │   ├── OutdatedLine              the database is behind (or ahead of) the code
    │   ├── SchemaNotOurs             a schema of that name exists and is not Bedplate's
    │   └── SchemaRefused             the server refuses CREATE SCHEMA
    ├── MigrationFailed               a revision failed and was rolled back
    ├── DocumentStale                 generated documents differ from the live catalog
    ├── ConnectionFailed              no usable connection
    │   ├── DatabaseUnreachable       nothing answers at that address
    │   ├── AuthenticationFailed      the server refuses this user or password
    │   ├── ConnectionLost            the connection broke; the outcome of a COMMIT is unknown
    │   └── PoolTimeout               every connection of the pool stayed busy too long
    ├── UsageError                    the caller's code is wrong; nothing was sent
    │   ├── FieldUnknown              no such field on the model
    │   ├── FieldInvalid              a value does not fit its field
    │   │   └── FloatRefused          a float was given where money is counted
    │   ├── FieldNotBound             the adopted table has no column for this field
    │   ├── FieldNotLoaded            the query did not select this field
    │   ├── RelationNotLoaded         the query did not include this relation
    │   ├── TableNotWritable          the table is adopted read-only
    │   ├── CursorInvalid             a page cursor is foreign, tampered with or of another query
    │   ├── LimitExceeded             more rows, or a larger batch, than the stated limit
    │   ├── HandleClosed              the transaction or reader is already over
    │   └── Suspended                 a coroutine waited on something other than the database
    ├── NotFound                      no row with that key
    ├── IdempotencyConflict           the key was used for another request
    └── DatabaseError                 PostgreSQL refused a statement (told apart by SQLSTATE)
        ├── IntegrityError            a rule of the schema
        │   ├── UniqueViolation       23505
        │   ├── ForeignKeyViolation   23503, 23001
        │   ├── CheckViolation        23514
        │   ├── NotNullViolation      23502
        │   └── ExclusionViolation    23P01
        ├── DataError                 class 22: a value the type cannot hold
        ├── PermissionDenied          42501
        ├── ReadOnly                  25006: a write through a Reader
        ├── StaleVersion              the row changed since it was read
        ├── LockTimeout               55P03
        ├── StatementTimeout          57014
        └── RetryableError            safe to run again from the start of the transaction
            ├── SerializationFailure  40001
            └── Deadlock              40P01

Each class has a stable ``code`` and each message ends with what to do next. Messages never hold row
values or passwords: PostgreSQL's DETAIL line, which quotes them, is left out on purpose.
"""

from __future__ import annotations

from typing import ClassVar


class BedplateError(Exception):
    """Something Bedplate refused or could not do; `str()` ends with the next step."""

    code: ClassVar[str] = "bedplate"
    advice: ClassVar[str] = ""

    def __init__(self, message: str, next_step: str = "") -> None:
        self.message = message
        self.next_step = next_step or self.advice
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".rstrip()


class SettingsError(BedplateError):
    """A setting is wrong; the message names the key and where it was read."""

    code = "settings"


class EmbeddedError(BedplateError):
    """The embedded PostgreSQL server cannot do what was asked."""

    code = "embedded"


class ServerStartFailed(EmbeddedError):
    """PostgreSQL did not come up."""

    code = "server_start_failed"


class PortTaken(EmbeddedError):
    """Another program listens on the port."""

    code = "port_taken"


class FolderTaken(EmbeddedError):
    """The folder is a file, or belongs to someone else."""

    code = "folder_taken"


class FolderNotWritable(EmbeddedError):
    """The folder for data cannot be written."""

    code = "folder_not_writable"


class WrongMajor(EmbeddedError):
    """The data folder was made by another PostgreSQL major version."""

    code = "wrong_major"


class RegistryError(BedplateError):
    """The enabled modules do not fit together."""

    code = "registry"


class ModuleNotFound(RegistryError):
    """No such module, or its package has no `MODULE`."""

    code = "module_not_found"


class ModuleCycle(RegistryError):
    """Modules require one another in a circle."""

    code = "module_cycle"


class ModuleMissing(RegistryError):
    """A required module is not enabled."""

    code = "module_missing"


class OutdatedLine(RegistryError):
    """The database's version of a module is not the code's."""

    code = "outdated_line"
    advice = "Run `bedplate migrate apply`."


class SchemaNotOurs(RegistryError):
    """A schema of the module's name exists and was not made by Bedplate."""

    code = "schema_not_ours"


class SchemaRefused(RegistryError):
    """The server refuses to create the module's schema."""

    code = "schema_refused"


class MigrationFailed(BedplateError):
    """A revision failed; its transaction was rolled back."""

    code = "migration_failed"


class DocumentStale(BedplateError):
    """Generated documents differ from the live catalog."""

    code = "document_stale"
    advice = "Run `bedplate docs build`."


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
    """Every connection of the pool stayed busy longer than `pool_wait_timeout_ms`."""

    code = "pool_timeout"
    advice = "Shorten transactions, raise pool_size_max, or shed load."


class UsageError(BedplateError):
    """The caller's code is wrong; nothing was sent to the database."""

    code = "usage"


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


class DatabaseError(BedplateError):
    """PostgreSQL refused a statement; `sqlstate` says why."""

    code = "database"
    sqlstate: str = ""


class IntegrityError(DatabaseError):
    """A rule of the schema was broken; `constraint` and `columns` name it."""

    code = "integrity"
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
    """A value does not fit its column's type."""

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


class SerializationFailure(RetryableError):
    """Concurrent transactions could not be ordered."""

    code = "serialization_failure"
    advice = "Run the whole transaction again; db.retry() does it for you."


class Deadlock(RetryableError):
    """Transactions waited for one another in a circle; this one was ended."""

    code = "deadlock"
    advice = "Run the whole transaction again; db.retry() does it for you."
