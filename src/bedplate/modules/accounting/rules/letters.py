"""What customers are told, in words: a line or two, as text and as HTML.

Only a customer's name comes from others. It stands in the greeting where it looks like a name, so
that nobody can put a link, a header or markup into a letter of ours.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bedplate.modules.accounting.models import NotificationType

NAME_CHARACTERS_MAX = 80

_LINK_LIKE = re.compile(r"[/\\@<>{}]|\w\.\w{2}|www", re.IGNORECASE)
"""What mail programs turn into a link, or what would be read as markup or as a place to fill in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a letter is about: an issued invoice, and its customer."""

    number: str
    due_on: date
    total: Decimal
    balance: Decimal
    customer: str | None = None
    seller: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A subject line and the same words as text and as HTML."""

    subject: str
    text: str
    html: str


def letter_about(kind: NotificationType, about: About) -> Letter:
    """Return the letter of a type; raises KeyError for one that is never sent."""
    subject, sentences = _WORDS[kind]
    values = {
        "number": about.number,
        "due_on": about.due_on.isoformat(),
        "total": _amount(about.total, about.currency),
        "balance": _amount(about.balance, about.currency),
    }
    paragraphs = [_greeting(about.customer)]
    paragraphs += [sentence.format(**values) for sentence in sentences]
    paragraphs += [about.seller.partition("\n")[0]] if about.seller else []
    body = "".join(f"<p>{html.escape(each)}</p>\n" for each in paragraphs)
    return Letter(
        subject.format(**values),
        "\n\n".join(paragraphs) + "\n",
        f'<!doctype html>\n<html lang="en">\n<body>\n{body}</body>\n</html>\n',
    )


_WORDS: dict[NotificationType, tuple[str, tuple[str, ...]]] = {
    NotificationType.INVOICE_ISSUED: (
        "Invoice {number}",
        ("Your invoice {number} over {total} is due on {due_on}.",),
    ),
    NotificationType.PAYMENT_REMINDER: (
        "Invoice {number} is due on {due_on}",
        (
            "Your invoice {number} is due on {due_on}. Still to pay: {balance}.",
            "If you have paid in the meantime, there is nothing left to do.",
        ),
    ),
    NotificationType.OVERDUE_REMINDER: (
        "Invoice {number} is overdue",
        (
            "Your invoice {number} was due on {due_on}. Still to pay: {balance}.",
            "If you have paid in the meantime, there is nothing left to do.",
        ),
    ),
    NotificationType.PAYMENT_RECEIVED: (
        "Invoice {number} is paid",
        ("Thank you: your invoice {number} over {total} is paid in full.",),
    ),
}


def _greeting(name: str | None) -> str:
    shown = "".join(each if each.isprintable() else " " for each in name or "")
    shown = " ".join(shown.split())
    if not shown or len(shown) > NAME_CHARACTERS_MAX or _LINK_LIKE.search(shown):
        return "Hello,"
    return f"Hello {shown},"


def _amount(amount: Decimal, currency: str) -> str:
    return f"{currency} {amount:,.2f}".strip()
