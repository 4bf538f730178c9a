"""What goes wrong before a statement is run: settings, the embedded server, modules, lines."""

from __future__ import annotations

from bedplate.kernel.errors.root import BedplateError


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


class DraftRefused(MigrationFailed):
    """What differs cannot be drafted as statements that keep the rows; nothing was written."""

    code = "draft_refused"


class BaselineDiffers(MigrationFailed):
    """The database is not what the lines make at that revision; nothing was recorded."""

    code = "baseline_differs"


class SquashRefused(MigrationFailed):
    """The revisions cannot be made one; no file was changed."""

    code = "squash_refused"


class ResetRefused(MigrationFailed):
    """The database may not be emptied; nothing was dropped."""

    code = "reset_refused"


class UndeclaredTouch(MigrationFailed):
    """A revision touched more than its footprint says; it was rolled back."""

    code = "undeclared_touch"


class RevisionEdited(MigrationFailed):
    """The file of an applied revision is no longer the one that was run."""

    code = "revision_edited"


class NoWayBack(MigrationFailed):
    """A revision that is to be undone has no way back."""

    code = "no_way_back"


class StepNotAllowed(MigrationFailed):
    """A statement that may not run outside of a transaction; it was not sent."""

    code = "step_not_allowed"


class DefinitionDiffers(MigrationFailed):
    """What a step would make is there already under that name, and is something else."""

    code = "definition_differs"


class BackfillFailed(MigrationFailed):
    """A backfill cannot begin, or met values it cannot go on with; what it did is kept."""

    code = "backfill_failed"


class RehearsalRefused(BedplateError):
    """No private copy of the database can be made to rehearse on; the message says why."""

    code = "rehearsal_refused"


class ProofMissing(BedplateError):
    """No rehearsal of this very plan, on this very database, proves that it may be applied."""

    code = "proof_missing"
    advice = "Run `bedplate migrate prove`."


class ProofFailed(BedplateError):
    """The rehearsal found what must not happen to the database; nothing was applied."""

    code = "proof_failed"


class CatalogMoved(BedplateError):
    """The schema kept changing while it was read."""

    code = "catalog_moved"
    advice = "Try again while nobody changes the schema."


class ToolsMissing(BedplateError):
    """PostgreSQL's own programs (pg_dump ...) of a major version are not on this machine."""

    code = "tools_missing"


class ToolFailed(BedplateError):
    """One of PostgreSQL's own programs (pg_dump, pg_restore ...) failed."""

    code = "tool_failed"


class DocumentStale(BedplateError):
    """Generated documents differ from the live catalog."""

    code = "document_stale"
    advice = "Run `bedplate docs build`."
