"""The manifest of `auth`."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from bedplate.modules.auth import samples
from bedplate.modules.auth.checks import CHECKS
from bedplate.modules.auth.models import AuditLog, User, UserPreferences

MODULE = ModuleManifest(
    name="auth",
    package="bedplate.modules.auth",
    models=(User, UserPreferences, AuditLog),
    adoptable={"users": User},
    checks=CHECKS,
    samples=samples.load,
)
