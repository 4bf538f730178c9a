"""How mail leaves the house: [delivery] in bedplate.toml, or BEDPLATE_DELIVERY_… variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from typing import ClassVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from bedplate.kernel.errors import BedplateError
from bedplate.kernel.sources import MILLISECONDS, Parse, Source, between
from bedplate.modules.delivery.rules import require_address, require_header

SMTP_PORTS = {"smtp": 587, "smtps": 465}
WRITE_URL = "Write smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465."
OUTAGE_MS_MAX = 30 * 86_400_000
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over. Without TLS only where the URL says so, and never a password."""

    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    is_starttls: bool = True
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Whom mail comes from."""

    address: str
    name: str = ""


def _smtp_url(source: Source) -> SmtpServer:
    value = source.value
    if not isinstance(value, str):
        raise source.refuse("is not text", WRITE_URL, show=False)
    try:
        parts = urlsplit(value.strip())
        port = parts.port
    except ValueError:
        hint = f"{WRITE_URL} Percent-encode special characters in the password (@ is %40)."
        raise source.refuse("is not a URL", hint, show=False) from None
    if parts.scheme not in SMTP_PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise source.refuse("is not the URL of an SMTP server", WRITE_URL, show=False)
    options = dict(parse_qsl(parts.query))
    if set(options) - {"tls", "ca"} or options.get("tls", "on") not in ("on", "off"):
        raise source.refuse("has an unknown parameter", "Use ?tls=off or ?ca=/file.", show=False)
    return _server(source, parts, port, options)


def _server(
    source: Source, parts: SplitResult, port: int | None, options: Mapping[str, str]
) -> SmtpServer:
    host = parts.hostname or ""
    is_plain = options.get("tls") == "off"
    if is_plain and parts.scheme == "smtps":
        raise source.refuse("asks for TLS and for none", WRITE_URL, show=False)
    if is_plain and parts.password and host not in LOCAL:
        raise source.refuse(
            "would send its password without TLS", "Take tls=off out of it.", show=False
        )
    return SmtpServer(
        host=host,
        port=port or SMTP_PORTS[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=parts.scheme == "smtps",
        is_starttls=parts.scheme == "smtp" and not is_plain,
        ca_file=Path(options["ca"]) if "ca" in options else None,
    )


def _sender(source: Source) -> Sender:
    advice = 'Write an address, such as "Shop <billing@shop.example>".'
    if not isinstance(source.value, str):
        raise source.refuse("is not text", advice)
    try:
        name, address = parseaddr(require_header(source.value, source.key))
        return Sender(
            address=require_address(address, source.key), name=require_header(name, source.key)
        )
    except BedplateError:
        raise source.refuse("is not an address", advice) from None


def _links_url(source: Source) -> str:
    value = source.value.strip() if isinstance(source.value, str) else ""
    # It stands in a header.
    is_plain = value.isascii() and value.isprintable() and " " not in value
    try:
        parts = urlsplit(value if is_plain else "")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.query:
        raise source.refuse("is not a URL of the web", "Write https://shop.example/mail.")
    return value.rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """What `delivery` reads from the project.

    `smtp_url` is the server; without one, mail waits. `sender` is whom mail comes from.
    `links_url` is where the app serves links: `<links_url>/open/<token>` and
    `<links_url>/unsubscribe/<token>`. An attempt takes `timeout_ms` at most. A mail has
    `attempts_max` of them, as it was set when the mail was asked for; between two of them passes
    `retry_first_ms`, doubling up to `retry_longest_ms`, each time somewhat less by chance. While
    the server cannot be reached, or refuses us and not the mail, no attempt is counted: mail is
    held for `outage_longest_ms`, five days at first, as RFC 5321 has it (4.5.4.1).
    """

    smtp_url: SmtpServer | None = field(default=None, repr=False)
    sender: Sender | None = None
    links_url: str | None = None
    timeout_ms: int = 30_000
    attempts_max: int = 10
    retry_first_ms: int = 60_000
    retry_longest_ms: int = 21_600_000
    outage_longest_ms: int = 432_000_000

    KEYS: ClassVar[Mapping[str, Parse]] = {
        "smtp_url": _smtp_url,
        "sender": _sender,
        "links_url": _links_url,
        "timeout_ms": MILLISECONDS,
        "attempts_max": between(1, 50),
        "retry_first_ms": MILLISECONDS,
        "retry_longest_ms": MILLISECONDS,
        "outage_longest_ms": between(1, OUTAGE_MS_MAX),
    }
