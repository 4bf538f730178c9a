"""How a mail looks on the wire: headers, texts, files, and the links that belong to it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import UUID

from bedplate.modules.delivery.models import TokenPurpose
from bedplate.modules.delivery.rules.mails import UNSUBSCRIBE_PLACE, Attachment

PLACES: Mapping[TokenPurpose, str] = {
    TokenPurpose.OPEN: "{{open_url}}",
    TokenPurpose.UNSUBSCRIBE: UNSUBSCRIBE_PLACE,
}
"""What stands in a text for a link of the mail's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where the links of one attempt lead, by their purpose; they hold its tokens."""

    by_purpose: Mapping[TokenPurpose, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a letter is made of: the mail's row, as the worker has it, and who sends it when."""

    mail_id: UUID
    sender_name: str
    sender_address: str
    recipient: str
    reply_to: str | None
    subject: str
    text: str
    html: str | None
    attachments: Sequence[Attachment]
    moment: datetime
    links: Links


def used_purposes(
    texts: Sequence[str | None], *, may_unsubscribe: bool, has_links: bool
) -> tuple[TokenPurpose, ...]:
    """Return which links a mail needs: those in its texts, and the header's where there is one."""
    used = [
        purpose for purpose, place in PLACES.items() if any(place in (each or "") for each in texts)
    ]
    if may_unsubscribe and has_links and TokenPurpose.UNSUBSCRIBE not in used:
        used.append(TokenPurpose.UNSUBSCRIBE)
    return tuple(used)


def message_id(mail_id: UUID, sender_address: str) -> str:
    """Return the Message-ID: the mail's own key, so that a mail sent twice can be told as one."""
    return f"<{mail_id}@{sender_address.rpartition('@')[2]}>"


def compose(letter: Letter) -> bytes:
    """Return the letter as it goes over the wire."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = Address(letter.sender_name, addr_spec=letter.sender_address)
    message["To"] = Address(addr_spec=letter.recipient)
    if letter.reply_to is not None:
        message["Reply-To"] = Address(addr_spec=letter.reply_to)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(letter.moment)
    # Answering machines leave such mail alone (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_linked(letter.text, letter.links))
    if letter.html is not None:
        message.add_alternative(_linked(letter.html, letter.links, is_html=True), subtype="html")
    for each in letter.attachments:
        kind, _, subtype = each.content_type.partition("/")
        message.add_attachment(each.content, maintype=kind, subtype=subtype, filename=each.filename)
    return _plain_headers(letter) + message.as_bytes()


def _plain_headers(letter: Letter) -> bytes:
    """Return the headers that must stay as they are: the e-mail package would encode long ones."""
    lines = [f"Message-ID: {message_id(letter.mail_id, letter.sender_address)}"]
    unsubscribe = letter.links.by_purpose.get(TokenPurpose.UNSUBSCRIBE)
    if unsubscribe is not None:
        lines += [
            f"List-Unsubscribe: <{unsubscribe}>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _linked(text: str, links: Links, *, is_html: bool = False) -> str:
    for purpose, url in links.by_purpose.items():
        text = text.replace(PLACES[purpose], html.escape(url) if is_html else url)
    return text
