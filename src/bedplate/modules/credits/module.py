"""The manifest of `credits`."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from bedplate.modules.credits import samples
from bedplate.modules.credits.checks import CHECKS
from bedplate.modules.credits.jobs import JOBS
from bedplate.modules.credits.models import (
    AdminSettings,
    AuditLog,
    CreditBalance,
    CreditExpiration,
    CreditGrant,
    CreditHold,
    Feature,
    HoldAllocation,
    UsageAllocation,
    UsageHistory,
)

MODULE = ModuleManifest(
    name="credits",
    package="bedplate.modules.credits",
    models=(
        CreditBalance,
        CreditGrant,
        UsageHistory,
        UsageAllocation,
        CreditExpiration,
        CreditHold,
        HoldAllocation,
        AdminSettings,
        Feature,
        AuditLog,
    ),
    requires=("auth",),
    checks=CHECKS,
    jobs=JOBS,
    bridges=("auth",),
    samples=samples.load,
)
