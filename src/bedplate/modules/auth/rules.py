"""What `auth` decides without asking anyone."""

from __future__ import annotations

from bedplate.modules.auth.errors import CredentialMissing, EmailInvalid

EMAIL_CHARACTERS_MAX = 254
"""The longest address that can be delivered to (RFC 5321, erratum 1690)."""


def clean_email(email: str) -> str:
    """Return an address without surrounding blanks, its case kept; raises EmailInvalid.

    Only delivery proves an address; this refuses what cannot be one. The message does not quote
    the text, which may hold something else by mistake.
    """
    cleaned = email.strip()
    local, at, domain = cleaned.rpartition("@")
    plausible = bool(local and at and domain) and not any(c.isspace() for c in cleaned)
    if not plausible or len(cleaned) > EMAIL_CHARACTERS_MAX or "\x00" in cleaned:
        raise EmailInvalid("The e-mail address is not one.")
    return cleaned


def require_findable(email: str | None, clerk_id: str | None) -> None:
    """Refuse a user that nothing identifies; raises CredentialMissing."""
    if email is None and clerk_id is None:
        raise CredentialMissing("A user needs an address or a Clerk id.")
