"""What `delivery` decides without asking anyone: what may be sent, when, and how it looks."""

from bedplate.modules.delivery.rules.fields import (
    ADDRESS_CHARACTERS_MAX,
    MAIL_BYTES_MAX,
    TRANSITIONS,
    require_address,
    require_header,
)
from bedplate.modules.delivery.rules.letters import Letter, Links, compose, used_purposes
from bedplate.modules.delivery.rules.mails import Attachment, Category, Mail, content_hash
from bedplate.modules.delivery.rules.quiet import QuietHours, quiet_until

__all__ = [
    "ADDRESS_CHARACTERS_MAX",
    "MAIL_BYTES_MAX",
    "TRANSITIONS",
    "Attachment",
    "Category",
    "Letter",
    "Links",
    "Mail",
    "QuietHours",
    "compose",
    "content_hash",
    "quiet_until",
    "require_address",
    "require_header",
    "used_purposes",
]
