"""The manifest of `delivery`."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from bedplate.modules.delivery import samples
from bedplate.modules.delivery.checks import CHECKS
from bedplate.modules.delivery.jobs import JOBS
from bedplate.modules.delivery.models import (
    AuditLog,
    MailAttachment,
    MailPreference,
    MailQuietHours,
    MailToken,
    OutgoingMail,
)
from bedplate.modules.delivery.settings import DeliverySettings

MODULE = ModuleManifest(
    name="delivery",
    package="bedplate.modules.delivery",
    models=(
        OutgoingMail,
        MailAttachment,
        MailToken,
        MailPreference,
        MailQuietHours,
        AuditLog,
    ),
    requires=("auth",),
    checks=CHECKS,
    jobs=JOBS,
    samples=samples.load,
    settings=DeliverySettings,
)
