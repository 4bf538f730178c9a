"""What the verbs of `auth` refuse."""

from __future__ import annotations

from bedplate.kernel.errors import BedplateError


class EmailTaken(BedplateError):
    """A living user already has this address, whatever its case."""

    code = "auth.email_taken"
    advice = "Sign in with that address, or choose another."


class ClerkIdTaken(BedplateError):
    """Another user, living or deleted, already has this Clerk id."""

    code = "auth.clerk_id_taken"
    advice = "Find the user by its Clerk id instead of creating it again."


class EmailInvalid(BedplateError):
    """The text is not an e-mail address."""

    code = "auth.email_invalid"
    advice = "Pass an address such as ada@example.com."


class CredentialMissing(BedplateError):
    """The user would have neither an address nor a Clerk id, and could never be found again."""

    code = "auth.credential_missing"
    advice = "Pass email=, clerk_id=, or both."
