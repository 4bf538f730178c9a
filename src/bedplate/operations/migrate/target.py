"""What is migrated: one database, the modules enabled on it, and who may do what there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bedplate.kernel.bindings import Binding
from bedplate.kernel.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One database as the verbs of migrating see it.

    `app_url` is None where one role serves for all. `admin_url` is a superuser's, known only on the
    embedded server, where a rehearsal can run beside. `folder` is the project's: proofs and backups
    lie in its `.bedplate`.
    """

    registry: Registry
    owner_url: str
    folder: Path
    app_url: str | None = None
    admin_url: str | None = None
    bindings: Mapping[str, Binding] = field(default_factory=dict[str, Binding])
    backups: Path | None = None
