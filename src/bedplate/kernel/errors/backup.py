"""What goes wrong with backups: one is missing or damaged, a database cannot be read or made."""

from __future__ import annotations

from bedplate.kernel.errors.root import BedplateError


class BackupError(BedplateError):
    """A backup cannot be made, found, trusted or restored."""

    code = "backup"


class BackupNotFound(BackupError):
    """No whole backup goes by that name."""

    code = "backup_not_found"
    advice = "See `bedplate backup list`."


class BackupDamaged(BackupError):
    """A file of the backup is not what it was when the backup was made."""

    code = "backup_damaged"
    advice = "Restore another one: `bedplate backup list`."


class BackupRefused(BackupError):
    """The role may not read the whole database, or the folder cannot be written."""

    code = "backup_refused"


class RestoreRefused(BackupError):
    """The place to restore into does not fit, or may not be made; nothing was created."""

    code = "restore_refused"


class RestoreDiffers(BackupError):
    """What was restored is not what was saved; the message names what differs."""

    code = "restore_differs"
