"""A real SMTP server that takes, refuses, delays and drops as a test tells it; and mail for it."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as SmtpProtocol
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.kernel.sources import Source
from bedplate.modules.delivery import Category, Mail
from bedplate.project import database
from bedplate.testing import Clone
from tests.asking import ask
from tests.world import CLIENTS

SENDER = "Shop <billing@shop.example>"
NEWS = Category("tests.news")
LEGAL = Category("tests.legal", is_mandatory=True)
CODES = Category("tests.codes", is_mandatory=True, is_urgent=True)
ASKED_FOR = Category("tests.asked_for", is_on_by_default=False)

_numbers = itertools.count(1)

Answer = Callable[[str], str | None]
"""What the server says of an address; None: it takes it. DROP breaks the connection."""

DROP = "drop"
DROP_AFTERWARDS = "drop afterwards"
"""The server has the mail, and the connection breaks before it can say so."""


@dataclass
class PostOffice:
    """What a test tells the server, and what the server was given."""

    at_rcpt: Answer = lambda address: None
    at_data: Answer = lambda address: None
    delay_s: float = 0.0
    password: str | None = None
    tls: ssl.SSLContext | None = None
    is_implicit: bool = False
    letters: list[EmailMessage] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    was_asked: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._controller = _Controller(self, self._socket)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
        self._socket.close()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=off"

    def ids(self) -> Counter[str]:
        """How often each Message-ID was accepted."""
        return Counter(str(each["Message-ID"]) for each in self.letters)

    async def handle_RCPT(
        self, server: SmtpProtocol, _: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        self.asked[address] += 1
        self.was_asked.set()
        said = self.at_rcpt(address)
        if said == DROP:
            cast("asyncio.Transport", server.transport).abort()
        if said is not None:
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SmtpProtocol, _: Session, envelope: Envelope) -> str:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        said = self.at_data(envelope.rcpt_tos[0])
        if said not in (None, DROP_AFTERWARDS):
            if said == DROP:
                cast("asyncio.Transport", server.transport).abort()
            return str(said)
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append(cast("EmailMessage", message_from_bytes(content, policy=default)))
        if said == DROP_AFTERWARDS:
            cast("asyncio.Transport", server.transport).abort()
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password.decode() == self.password, handled=False)


class _Controller(Controller):
    """Listens on a socket that is bound before, so that its port is known and free."""

    def __init__(self, office: PostOffice, listening: socket.socket) -> None:
        options: dict[str, Any] = {}
        if office.password is not None:
            options |= {"authenticator": office.login, "auth_required": True}
            options |= {"auth_require_tls": office.tls is not None and not office.is_implicit}
        if office.tls is not None and not office.is_implicit:
            options |= {"tls_context": office.tls, "require_starttls": True}
        super().__init__(office, "127.0.0.1", listening.getsockname()[1], **options)
        self._office = office
        self._listening = listening

    def factory(self) -> SmtpProtocol:
        self._office.connections += 1
        with warnings.catch_warnings():
            # That a login needs no TLS is what some tests are about.
            warnings.simplefilter("ignore", UserWarning)
            return cast("SmtpProtocol", super().factory())

    def _create_server(self) -> Any:
        office = self._office
        return self.loop.create_server(
            self._factory_invoker,
            sock=self._listening,
            ssl=office.tls if office.is_implicit else None,
        )

    def _trigger_server(self) -> None:
        """Controllers look whether somebody answers; a context of the server's cannot ask."""
        if self._office.tls is None:
            super()._trigger_server()
        else:
            with socket.create_connection(("127.0.0.1", self.port), 5):
                time.sleep(0.05)


def opened(clone: Clone, url: str | None, **settings: Any) -> Database:
    """A database, not open yet, of a project whose mail goes to that server."""
    given: dict[str, Any] = {"sender": SENDER, "links_url": "https://shop.example/mail"}
    # Long enough that on a busy machine no attempt fails but what a test makes fail.
    given |= {"timeout_ms": 20_000, "retry_first_ms": 60_000, **settings}
    if url is not None:
        given["smtp_url"] = url
    sources = {
        key: Source(f"delivery.{key}", "the test", value)
        for key, value in given.items()
        if value is not None
    }
    own = replace(clone.settings, sections={"delivery": sources}, pool_size_max=CLIENTS)
    return database(own, registry.load(own.modules, own.folder), clone.url)


def a_mail(**fields: Any) -> Mail:
    """A mail of its own."""
    number = next(_numbers)
    given: dict[str, Any] = {
        "to": f"reader-{number}@example.com",
        "subject": f"Letter {number}",
        "text": f"This is letter {number}.\n",
        "category": NEWS,
        "dedupe_key": f"letter-{number}",
    }
    return Mail(**given | fields)


def statuses(clone: Clone) -> Counter[str]:
    """How many mails are of each status."""
    return Counter(
        dict(ask(clone, "SELECT status, count(*) FROM delivery.outgoing_mails GROUP BY 1"))
    )
