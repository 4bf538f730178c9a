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
    │   ├── UndeclaredTouch           it touched more than it declares
    │   ├── RevisionEdited            an applied revision's file is not the one that was run
    │   ├── NoWayBack                 a revision cannot be undone
    │   ├── StepNotAllowed            a statement may not run outside of a transaction
    │   ├── DefinitionDiffers         another object has the name of what a step would make
    │   ├── BackfillFailed            a backfill cannot begin or go on
    │   ├── DraftRefused              what differs cannot be drafted as statements
    │   ├── BaselineDiffers           the database is not what the lines make
    │   ├── SquashRefused             the revisions cannot be made one
    │   └── ResetRefused              the database may not be emptied
    ├── RehearsalRefused              no private copy can be made to rehearse on
    ├── ProofMissing                  no rehearsal of this plan on this database
    ├── ProofFailed                   the rehearsal found what must not happen
    ├── CatalogMoved                  the schema kept changing while it was read
    ├── ToolsMissing                  no pg_dump of that major version is on this machine
    ├── ToolFailed                    pg_dump, pg_restore or another such program failed
    ├── BackupError                   backups
    │   ├── BackupNotFound            no whole backup goes by that name
    │   ├── BackupDamaged             a file is not what it was when the backup was made
    │   ├── BackupRefused             the role may not read all of it, or the folder be written
    │   ├── RestoreRefused            the place to restore into does not fit; nothing was made
    │   └── RestoreDiffers            what was restored is not what was saved
    ├── DocumentStale                 generated documents differ from the live catalog
    ├── ConnectionFailed              no usable connection
    │   ├── DatabaseUnreachable       nothing answers at that address
    │   ├── AuthenticationFailed      the server refuses this user or password
    │   ├── ConnectionLost            the connection broke; the outcome of a COMMIT is unknown
    │   └── PoolTimeout               every connection, or a row's line, stayed busy too long
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
    │   ├── RenameUndecided           renamed, or one thing gone and another come?
    │   └── Suspended                 a coroutine waited on something other than the database
    ├── NotFound                      no row with that key
    ├── IdempotencyConflict           the key was used for another request
    ├── LeaseLost                     another worker holds the row by now
    └── DatabaseError                 PostgreSQL refused a statement (told apart by SQLSTATE)
        ├── IntegrityError            a rule of the schema
        │   ├── UniqueViolation       23505
        │   ├── ForeignKeyViolation   23503, 23001
        │   │   └── ActorUnknown      BP002: the acting user is none of the users
        │   ├── CheckViolation        23514
        │   ├── NotNullViolation      23502
        │   └── ExclusionViolation    23P01
        ├── DataError                 class 22: a value the type cannot hold
        ├── PermissionDenied          42501
        ├── AppendOnly                BP001
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

from bedplate.kernel.errors.backup import (
    BackupDamaged,
    BackupError,
    BackupNotFound,
    BackupRefused,
    RestoreDiffers,
    RestoreRefused,
)
from bedplate.kernel.errors.database import (
    ActorUnknown,
    AppendOnly,
    CheckViolation,
    DatabaseError,
    DataError,
    Deadlock,
    ExclusionViolation,
    ForeignKeyViolation,
    IntegrityError,
    LockTimeout,
    NotNullViolation,
    PermissionDenied,
    ReadOnly,
    RetryableError,
    SerializationFailure,
    StaleVersion,
    StatementTimeout,
    UniqueViolation,
)
from bedplate.kernel.errors.root import (
    BedplateError,
)
from bedplate.kernel.errors.setup import (
    BackfillFailed,
    BaselineDiffers,
    CatalogMoved,
    DefinitionDiffers,
    DocumentStale,
    DraftRefused,
    EmbeddedError,
    FolderNotWritable,
    FolderTaken,
    MigrationFailed,
    ModuleCycle,
    ModuleMissing,
    ModuleNotFound,
    NoWayBack,
    OutdatedLine,
    PortTaken,
    ProofFailed,
    ProofMissing,
    RegistryError,
    RehearsalRefused,
    ResetRefused,
    RevisionEdited,
    SchemaNotOurs,
    SchemaRefused,
    ServerStartFailed,
    SettingsError,
    SquashRefused,
    StepNotAllowed,
    ToolFailed,
    ToolsMissing,
    UndeclaredTouch,
    WrongMajor,
)
from bedplate.kernel.errors.use import (
    AuthenticationFailed,
    ConnectionFailed,
    ConnectionLost,
    CursorInvalid,
    DatabaseUnreachable,
    FieldInvalid,
    FieldNotBound,
    FieldNotLoaded,
    FieldUnknown,
    FloatRefused,
    HandleClosed,
    IdempotencyConflict,
    LeaseLost,
    LimitExceeded,
    NotFound,
    PoolTimeout,
    RelationNotLoaded,
    RenameUndecided,
    Suspended,
    TableNotWritable,
    UsageError,
)

__all__ = [
    "ActorUnknown",
    "AppendOnly",
    "AuthenticationFailed",
    "BackfillFailed",
    "BackupDamaged",
    "BackupError",
    "BackupNotFound",
    "BackupRefused",
    "BaselineDiffers",
    "BedplateError",
    "CatalogMoved",
    "CheckViolation",
    "ConnectionFailed",
    "ConnectionLost",
    "CursorInvalid",
    "DataError",
    "DatabaseError",
    "DatabaseUnreachable",
    "Deadlock",
    "DefinitionDiffers",
    "DocumentStale",
    "DraftRefused",
    "EmbeddedError",
    "ExclusionViolation",
    "FieldInvalid",
    "FieldNotBound",
    "FieldNotLoaded",
    "FieldUnknown",
    "FloatRefused",
    "FolderNotWritable",
    "FolderTaken",
    "ForeignKeyViolation",
    "HandleClosed",
    "IdempotencyConflict",
    "IntegrityError",
    "LeaseLost",
    "LimitExceeded",
    "LockTimeout",
    "MigrationFailed",
    "ModuleCycle",
    "ModuleMissing",
    "ModuleNotFound",
    "NoWayBack",
    "NotFound",
    "NotNullViolation",
    "OutdatedLine",
    "PermissionDenied",
    "PoolTimeout",
    "PortTaken",
    "ProofFailed",
    "ProofMissing",
    "ReadOnly",
    "RegistryError",
    "RehearsalRefused",
    "RelationNotLoaded",
    "RenameUndecided",
    "ResetRefused",
    "RestoreDiffers",
    "RestoreRefused",
    "RetryableError",
    "RevisionEdited",
    "SchemaNotOurs",
    "SchemaRefused",
    "SerializationFailure",
    "ServerStartFailed",
    "SettingsError",
    "SquashRefused",
    "StaleVersion",
    "StatementTimeout",
    "StepNotAllowed",
    "Suspended",
    "TableNotWritable",
    "ToolFailed",
    "ToolsMissing",
    "UndeclaredTouch",
    "UniqueViolation",
    "UsageError",
    "WrongMajor",
]
