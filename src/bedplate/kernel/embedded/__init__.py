"""A PostgreSQL server of the project's own, from the wheel: started, shared, stopped."""

from __future__ import annotations

from bedplate.kernel.embedded.attachment import (
    Attachment,
    RoleName,
    ServerStatus,
    attach,
    purge,
    status,
    stop,
)
from bedplate.kernel.embedded.binaries import find as programs

__all__ = [
    "Attachment",
    "RoleName",
    "ServerStatus",
    "attach",
    "programs",
    "purge",
    "status",
    "stop",
]
