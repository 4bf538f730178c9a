"""What one field of a mail may hold, and which way its status may go."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from bedplate.modules.delivery.errors import AddressInvalid, HeaderInvalid
from bedplate.modules.delivery.models import MailStatus

ADDRESS_CHARACTERS_MAX = 254
"""The longest address that can be delivered to (RFC 5321, erratum 1690)."""

HEADER_CHARACTERS_MAX = 500

MAIL_BYTES_MAX = 20 * 1024 * 1024
"""The largest mail: its texts and what is attached to it, before they are encoded."""

TRANSITIONS: Mapping[MailStatus, frozenset[MailStatus]] = {
    MailStatus.PENDING: frozenset(
        {MailStatus.SENT, MailStatus.FAILED, MailStatus.BOUNCED, MailStatus.UNSUBSCRIBED}
    ),
    MailStatus.FAILED: frozenset({MailStatus.PENDING}),
    MailStatus.SENT: frozenset({MailStatus.BOUNCED, MailStatus.UNSUBSCRIBED}),
    MailStatus.BOUNCED: frozenset(),
    MailStatus.UNSUBSCRIBED: frozenset(),
}
"""Where a mail may go from each status; the database refuses all else.

PENDING to BOUNCED is the server that refuses in the same conversation, so that it never was SENT: a
decision of its own (0013).
"""

# What may stand unquoted before the @ (RFC 5321), and a domain of more than one label.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_LOCAL_CHARACTERS_MAX = 64


def require_address(value: object, place: str = "to") -> str:
    """Return one bare address, its domain in ASCII; raises AddressInvalid or HeaderInvalid.

    Only delivery proves an address; this refuses what cannot be one. Letters beyond ASCII are
    allowed in the domain, not before the @: few servers take them there.
    """
    text = require_header(value, place).strip(" ")
    local, at, domain = text.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode() if domain else ""
    except UnicodeError:
        ascii_domain = ""
    if (
        not at
        or len(local) > _LOCAL_CHARACTERS_MAX
        or not _LOCAL.fullmatch(local)
        or not _DOMAIN.fullmatch(ascii_domain)
        or len(local) + 1 + len(ascii_domain) > ADDRESS_CHARACTERS_MAX
    ):
        raise AddressInvalid(f"{place} is not an e-mail address.")
    return f"{local}@{ascii_domain}"


def require_header(value: object, place: str) -> str:
    """Return a text that fits on one line; raises HeaderInvalid for anything else."""
    if not isinstance(value, str):
        raise HeaderInvalid(f"{place} is not text.", "Pass a str.")
    # Cc is control characters, line breaks among them; Zl and Zp are those of Unicode; Cs is half
    # of a surrogate pair, which can neither be stored nor sent.
    if any(unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs") for each in value):
        raise HeaderInvalid(f"{place} has a line break or a control character in it.")
    if len(value) > HEADER_CHARACTERS_MAX:
        raise HeaderInvalid(
            f"{place} has more than {HEADER_CHARACTERS_MAX} characters.", "Shorten it."
        )
    return value
