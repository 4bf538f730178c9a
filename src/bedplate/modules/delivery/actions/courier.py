"""The courier: one connection to the SMTP server, kept from one mail to the next."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiosmtplib
from aiosmtplib import SMTP

from bedplate.modules.delivery.settings import SmtpServer

REASON_CHARACTERS_MAX = 300
GOODBYE_S = 1
CLOSING, TOO_LARGE = 421, 552
"""Answers that mean the same wherever they come (RFC 5321): it hangs up; it takes no such size."""

HELLO = "localhost.localdomain"
"""How we introduce ourselves; the machine's own name is nobody's business."""


class NotAccepted(Exception):
    """The server did not take the mail.

    `is_final`: it never will, so trying again is no use. `is_outage`: it was not asked about this
    mail, or takes none: another mail would have met the same.
    """

    def __init__(
        self, code: str, reason: str, *, is_final: bool = False, is_outage: bool = False
    ) -> None:
        self.code = code
        self.reason = reason
        self.is_final = is_final
        self.is_outage = is_outage
        super().__init__(reason)


class Courier:
    """Hands mail to one server; `async with` it. Its errors hold no secret."""

    def __init__(self, server: SmtpServer, *, timeout_ms: int) -> None:
        self._server = server
        self._timeout_s = timeout_ms / 1000
        self._client: SMTP | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        client, self._client = self._client, None
        if client is not None and kind is None:
            # The mail is gone by now: whether the server says goodbye does not matter.
            with suppress(aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(GOODBYE_S):
                    await client.quit()
        if client is not None:
            client.close()

    async def deliver(self, sender: str, recipient: str, letter: bytes) -> None:
        """Return once the server has accepted the letter; raises NotAccepted.

        Takes as long as the timeout at most, connecting included.
        """
        is_connected = False
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._connected()
                is_connected = True
                await client.sendmail(sender, recipient, letter)
        except BaseException as error:
            # What the server still has to say of this mail must not be taken for an answer to the
            # next one.
            self._drop()
            refusal = _refusal(error, self._server)
            if refusal is None:
                raise
            # Once it is connected, a silence may be about this mail, or the server may have it.
            refusal.is_outage |= not is_connected
            raise refusal from None

    async def _connected(self) -> SMTP:
        if self._client is not None:
            try:
                # Servers hang up after some time, or some number of mails.
                await self._client.noop()
            except (aiosmtplib.SMTPException, OSError):
                self._drop()
            else:
                return self._client
        server = self._server
        is_tls = server.is_tls or server.is_starttls
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=HELLO,
            use_tls=server.is_tls,
            start_tls=server.is_starttls,
            tls_context=_context(server) if is_tls else None,
            # Ours covers all of it. The library's is asyncio.wait_for, which before Python 3.12
            # loses a cancellation that comes together with an answer.
            timeout=None,
        )
        self._client = client
        await client.connect()
        return client

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _context(server: SmtpServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def _refusal(error: BaseException, server: SmtpServer) -> NotAccepted | None:
    """Tell what an error means for the mail; None where it is not the server's doing.

    Only what is said of the addressee or of the letter itself is final. A server that refuses our
    name, our password or our sender may be set right, and the mail is not to blame.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        is_outage = error.code == CLOSING
        return _said(error, server, is_final=error.code >= 500, is_outage=is_outage)
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        is_final = error.code == TOO_LARGE
        return _said(error, server, is_final=is_final, is_outage=not is_final)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return NotAccepted(str(error.code), f"{error.code}: the server refuses our login.")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _said(error, server)
    if isinstance(error, TimeoutError):
        return NotAccepted("timeout", "The server did not answer in time.")
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return NotAccepted("disconnected", "The server broke the connection.")
    if isinstance(error, aiosmtplib.SMTPException | OSError):
        return NotAccepted("connection", f"No connection to the server ({_kind(error)}).")
    return None


def _kind(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__ or error
    return type(cause).__name__


def _said(
    error: aiosmtplib.SMTPResponseException,
    server: SmtpServer,
    *,
    is_final: bool = False,
    is_outage: bool = False,
) -> NotAccepted:
    printable = "".join(each if each.isprintable() else " " for each in error.message)
    text = " ".join(printable.split())
    for secret in (server.password, server.username):
        if secret:
            text = text.replace(secret, "***")
    reason = f"{error.code}: {text}"[:REASON_CHARACTERS_MAX]
    return NotAccepted(str(error.code), reason, is_final=is_final, is_outage=is_outage)
