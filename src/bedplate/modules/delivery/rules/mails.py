"""What a module asks for: a mail, its category, and what is attached to it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bedplate.kernel.context import UserId
from bedplate.kernel.idempotency import KEY_CHARACTERS_MAX
from bedplate.modules.delivery.errors import MailInvalid, MailTooLarge
from bedplate.modules.delivery.rules.fields import MAIL_BYTES_MAX, require_address, require_header

ATTACHMENTS_MAX = 20
UNSUBSCRIBE_PLACE = "{{unsubscribe_url}}"

_CATEGORY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,120}")


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of mail, declared by the module that sends it: `Category("accounting.reminder")`.

    Addressees choose by category. `is_mandatory` mail is sent whatever they chose (a legal notice,
    a receipt); `is_on_by_default=False` is sent only to who asked for it; `is_urgent` does not wait
    for quiet hours to end (a code for signing in). Raises MailInvalid for a malformed name.
    """

    name: str
    is_mandatory: bool = False
    is_on_by_default: bool = True
    is_urgent: bool = False

    def __post_init__(self) -> None:
        if not _CATEGORY.fullmatch(self.name) or len(self.name) > KEY_CHARACTERS_MAX:
            raise MailInvalid(
                "The category's name is not module.kind in lower case.", "Rename the category."
            )


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file that goes along. Raises HeaderInvalid or MailInvalid."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"

    def __post_init__(self) -> None:
        require_header(self.filename, "attachment.filename")
        if not self.filename or "/" in self.filename or "\\" in self.filename:
            raise MailInvalid("attachment.filename is no bare file name.", "Pass invoice.pdf.")
        if not _TYPE.fullmatch(self.content_type) or self.content_type.startswith("multipart/"):
            raise MailInvalid("attachment.content_type is none.", "Pass application/pdf.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A letter to one addressee, and the key under which it is sent once.

    Build `dedupe_key` from stable ids and ISO dates. `user_id` names the user it is for, so that
    the user's preferences count beside the address's. `id` is the mail's own (its notification's,
    where a module keeps one). Not sent before `not_before`. `{{open_url}}` and
    `{{unsubscribe_url}}` in the texts become links of this very mail.

    Raises MailInvalid, AddressInvalid, HeaderInvalid or MailTooLarge.
    """

    to: str
    subject: str = field(repr=False)
    text: str = field(repr=False)
    category: Category
    dedupe_key: str
    html: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()
    user_id: UserId | None = None
    reply_to: str | None = None
    not_before: datetime | None = None
    id: UUID | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "to", require_address(self.to, "to"))
        if self.reply_to is not None:
            object.__setattr__(self, "reply_to", require_address(self.reply_to, "reply_to"))
        object.__setattr__(self, "attachments", tuple(self.attachments))
        require_header(self.subject, "subject")
        require_header(self.dedupe_key, "dedupe_key")
        if not self.dedupe_key or len(self.dedupe_key) > KEY_CHARACTERS_MAX:
            raise MailInvalid(
                f"dedupe_key is not 1 to {KEY_CHARACTERS_MAX} characters.", "Shorten the key."
            )
        _require_body(self.text, "text")
        if self.html is not None:
            _require_body(self.html, "html")
        if self.category.is_mandatory and UNSUBSCRIBE_PLACE in self.text + (self.html or ""):
            raise MailInvalid(
                "The mail is mandatory and has a link to unsubscribe.", "Take the link out."
            )
        if self.not_before is not None and self.not_before.tzinfo is None:
            raise MailInvalid("not_before has no time zone.", "Pass tzinfo=UTC.")
        if len(self.attachments) > ATTACHMENTS_MAX:
            raise MailTooLarge(f"More than {ATTACHMENTS_MAX} files are attached.")
        size = len(self.text.encode()) + len((self.html or "").encode())
        size += sum(len(each.content) for each in self.attachments)
        if size > MAIL_BYTES_MAX:
            raise MailTooLarge(f"The mail has {size} bytes; {MAIL_BYTES_MAX} are allowed.")


def content_hash(mail: Mail) -> bytes:
    """Return what tells this letter from another: SHA-256 over the SHA-256 of each part of it."""
    parts: list[str | bytes] = [
        mail.to,
        mail.reply_to or "",
        mail.category.name,
        mail.subject,
        mail.text,
        mail.html or "",
    ]
    for each in mail.attachments:
        parts += [each.filename, each.content_type, each.content]
    digests = (
        hashlib.sha256(part.encode() if isinstance(part, str) else part).digest() for part in parts
    )
    return hashlib.sha256(b"".join(digests)).digest()


def _require_body(value: object, place: str) -> None:
    if not isinstance(value, str):
        raise MailInvalid(f"{place} is not text.", "Pass a str.")
    # PostgreSQL stores neither NUL nor half of a surrogate pair.
    try:
        value.encode()
    except UnicodeEncodeError:
        is_unicode = False
    else:
        is_unicode = True
    if "\0" in value or not is_unicode:
        raise MailInvalid(f"{place} has a character that cannot be stored.", "Take it out.")
