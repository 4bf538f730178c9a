"""Delivery: what a worker does with mail that is due.

An attempt is recorded before it is made: the claim, with its count, is committed before the server
hears of the mail. What a crash leaves open between the server's yes and our COMMIT is therefore
tried again, under the same Message-ID: at least once, never more often than `max_attempts`.
While a server is away, or refuses us and not the mail, nothing was tried: mail is held for days.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import ARRAY, Double, LargeBinary, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

from bedplate.kernel import clock, ids
from bedplate.kernel import lease_statements as statements
from bedplate.kernel.database import Database
from bedplate.kernel.errors import BedplateError, ConnectionFailed, LeaseLost
from bedplate.kernel.jobs import Job, Running, enqueue
from bedplate.kernel.leases import Backoff, Fault, Lease, new_holder
from bedplate.kernel.query import Query
from bedplate.kernel.telemetry import logger
from bedplate.kernel.types import moment
from bedplate.modules.delivery.actions.courier import Courier, NotAccepted
from bedplate.modules.delivery.actions.telling import tell_what_happened
from bedplate.modules.delivery.errors import LinksNotConfigured, NotConfigured
from bedplate.modules.delivery.events import (
    MailBounced,
    MailChanged,
    MailDelivered,
    MailFailed,
    MailRetried,
    MailUnsubscribed,
)
from bedplate.modules.delivery.models import MailStatus, OutgoingMail
from bedplate.modules.delivery.repositories import ATTACHED, DUE, MAIL_LEASES, wishes_of
from bedplate.modules.delivery.rules import (
    Attachment,
    Letter,
    Links,
    compose,
    quiet_until,
    used_purposes,
)
from bedplate.modules.delivery.settings import DeliverySettings, Sender, SmtpServer

MAILS_PER_RUN = 50
"""How many mails one job delivers before other jobs have their turn."""

LANES_MAX = 8
"""How many jobs one sweep starts at most; each has a connection of its own."""

TOKEN_BYTES = 32
AGAIN_S = 0.1

_SETTLE = MAIL_LEASES.fenced(
    """
    UPDATE {table} SET state = 'SUCCEEDED', finished_at = bedplate.clock(), holder = NULL,
        expires_at = NULL, status = :status,
        sent_at = CASE WHEN :status = 'SENT' THEN bedplate.clock() END,
        failure_reason = :reason
    WHERE {fence} RETURNING true
    """,
    bindparam("status", type_=Text),
    bindparam("reason", type_=Text),
)
# What has to wait was not tried.
_POSTPONE = MAIL_LEASES.fenced(
    """
    UPDATE {table} SET
        state = CASE WHEN cancel_requested_at IS NULL THEN 'PENDING' ELSE 'CANCELLED' END,
        finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN bedplate.clock() END,
        attempts = attempts - 1, run_at = :until, holder = NULL, expires_at = NULL
    WHERE {fence} RETURNING true
    """,
    bindparam("until", type_=moment()),
)
# Nor is an outage an attempt. The waits grow with it.
_OVER = "(cancel_requested_at IS NOT NULL OR tried_from + :outage <= bedplate.clock())"
_HOLD = MAIL_LEASES.fenced(
    f"""
    UPDATE {{table}} SET
        state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
            WHEN {_OVER} THEN 'FAILED' ELSE 'PENDING' END,
        finished_at = CASE WHEN {_OVER} THEN bedplate.clock() END,
        attempts = attempts - 1,
        run_at = bedplate.clock()
            + :share * least(:longest, greatest(:first, bedplate.clock() - tried_from)),
        holder = NULL, expires_at = NULL,
        errors = {statements.with_error("CAST(:code AS text)", "CAST(:message AS text)")}
    WHERE {{fence}} RETURNING state
    """,
    *(bindparam(name, type_=INTERVAL) for name in ("outage", "first", "longest")),
    bindparam("share", type_=Double),
    bindparam("code", type_=Text),
    bindparam("message", type_=Text),
)
_ADD_TOKENS: Query[Any] = Query(
    text(
        "INSERT INTO delivery.mail_tokens (id, token_hash, mail_id, purpose) "
        "SELECT id, token_hash, :mail_id, purpose FROM unnest("
        "CAST(:ids AS uuid[]), CAST(:hashes AS bytea[]), CAST(:purposes AS text[])"
        ") AS given (id, token_hash, purpose)"
    ).bindparams(
        bindparam("mail_id", type_=Uuid),
        bindparam("ids", type_=ARRAY(Uuid)),
        bindparam("hashes", type_=ARRAY(LargeBinary)),
        bindparam("purposes", type_=ARRAY(Text)),
    )
)


@dataclass(slots=True)
class Delivered:
    """What became of the mails that were due: how many of each.

    `failed` are tried again or given up; `waiting` met quiet hours; `lost` went to another worker
    while they were being sent.
    """

    sent: int = 0
    failed: int = 0
    bounced: int = 0
    unsubscribed: int = 0
    waiting: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        """How many mails were looked at."""
        return sum(getattr(self, each.name) for each in fields(self))


async def deliver_due(db: Database, *, limit: int = MAILS_PER_RUN) -> Delivered:
    """Deliver up to `limit` mails that are due, one after the other, over one connection.

    Any number of these may run beside one another. Async only. Raises NotConfigured where no
    server or no sender is set; the mails wait then.
    """
    settings = db.settings(DeliverySettings)
    if settings.smtp_url is None or settings.sender is None:
        raise NotConfigured("No SMTP server, or no sender, is set.")
    done = Delivered()
    async with Courier(settings.smtp_url, timeout_ms=settings.timeout_ms) as courier:
        round_ = _Round(db, settings, settings.smtp_url, settings.sender, courier)
        while done.total < limit:
            mail = await round_.take()
            if mail is None:
                break
            outcome = await round_.attempt(mail)
            setattr(done, outcome, getattr(done, outcome) + 1)
    return done


async def deliver(db: Database, running: Running[None]) -> None:
    """Be the job: deliver what is due, and let another one go on where there is more."""
    try:
        done = await deliver_due(db)
    except NotConfigured as error:
        logger.warning("mail waits: %s", error)
        return
    if done.total >= MAILS_PER_RUN:
        await enqueue(db, DELIVER, None)


DELIVER: Job[None] = Job(name="delivery.deliver", payload=type(None), run=deliver)
"""Enqueued with every mail; one that finds nothing to do ends at once."""


async def sweep(db: Database, running: Running[None]) -> None:
    """Start jobs for what is due: retries, ends of quiet hours, and mails of workers that died."""
    most = LANES_MAX * MAILS_PER_RUN
    waiting = (await db.one(DUE, limit=most))[0]
    for _ in range(0, waiting, MAILS_PER_RUN):
        await enqueue(db, DELIVER, None)


class _Round:
    """Some mails, one after the other, with one holder and one courier."""

    def __init__(
        self,
        db: Database,
        settings: DeliverySettings,
        server: SmtpServer,
        sender: Sender,
        courier: Courier,
    ) -> None:
        self._db = db
        self._settings = settings
        self._sender = sender
        self._courier = courier
        self._holder = new_holder()
        # Nobody prolongs it: an attempt ends by its timeout, and as long again is for the database.
        self._term = timedelta(milliseconds=2 * settings.timeout_ms)
        self._backoff = Backoff(
            first=timedelta(milliseconds=settings.retry_first_ms),
            longest=timedelta(milliseconds=settings.retry_longest_ms),
        )

    async def take(self) -> OutgoingMail | None:
        """Claim the next mail, and with that record the attempt."""
        while True:
            async with self._db.transaction() as tx:
                claimed = await MAIL_LEASES.claim(tx, self._holder, limit=1, lease=self._term)
                for row in claimed.ended:
                    await tell_what_happened(tx, MailFailed, row.id)
                for row in claimed.held:
                    if row.failure_reason is not None:
                        await tell_what_happened(tx, MailRetried, row.id)
            if claimed.held:
                return claimed.held[0]
            if not claimed.ended:
                return None

    async def attempt(self, mail: OutgoingMail) -> str:
        """Deliver a mail, or say why not; return what `Delivered` calls the outcome."""
        lease = Lease.of(mail)
        try:
            return await self._attempt(mail, lease)
        except asyncio.CancelledError:
            # The worker stops. Whether the server has the mail is not known.
            fault = Fault("interrupted", "The worker was stopped in the middle.")
            await self._fail(mail, lease, fault, retry_in=timedelta(0))
            raise
        except LeaseLost:
            return "lost"

    async def _attempt(self, mail: OutgoingMail, lease: Lease) -> str:
        try:
            wishes = await wishes_of(
                self._db, mail.category, user_id=mail.user_id, address=mail.recipient
            )
            wanted = mail.is_on_by_default if wishes.wanted is None else wishes.wanted
            if not (wanted or mail.is_mandatory):
                await self._settle(mail, lease, MailStatus.UNSUBSCRIBED)
                return "unsubscribed"
            if wishes.quiet is not None and not mail.is_urgent:
                until = quiet_until(wishes.at, wishes.quiet)
                if until is not None:
                    await MAIL_LEASES.write(self._db, lease, _POSTPONE, until=until)
                    return "waiting"
            letter = await self._letter(mail)
            await self._courier.deliver(self._sender.address, mail.recipient, letter)
        except NotAccepted as refusal:
            if refusal.is_final:
                await self._settle(mail, lease, MailStatus.BOUNCED, refusal.reason)
                return "bounced"
            fault = Fault(refusal.code, refusal.reason)
            await self._not_sent(mail, lease, fault, is_outage=refusal.is_outage)
            return "failed"
        except (ConnectionFailed, LeaseLost):
            raise
        except BedplateError as error:
            is_outage = isinstance(error, LinksNotConfigured)
            await self._not_sent(mail, lease, Fault.of(error), is_outage=is_outage)
            return "failed"
        await self._settle(mail, lease, MailStatus.SENT)
        return "sent"

    async def _letter(self, mail: OutgoingMail) -> bytes:
        attached = await self._db.all(ATTACHED, mail_id=mail.id)
        return compose(
            Letter(
                mail_id=mail.id,
                sender_name=self._sender.name,
                sender_address=self._sender.address,
                recipient=mail.recipient,
                reply_to=mail.reply_to,
                subject=mail.subject,
                text=mail.body_text,
                html=mail.body_html,
                attachments=[
                    Attachment(each.filename, bytes(each.content), each.content_type)
                    for each in attached
                ],
                moment=clock.now(),
                links=await self._links(mail),
            )
        )

    async def _links(self, mail: OutgoingMail) -> Links:
        """Make the tokens of this attempt; only their hashes are kept."""
        base = self._settings.links_url
        purposes = used_purposes(
            (mail.body_text, mail.body_html),
            may_unsubscribe=not mail.is_mandatory,
            has_links=base is not None,
        )
        if not purposes:
            return Links(by_purpose={})
        if base is None:
            raise LinksNotConfigured("The mail has a link, and no address for links is set.")
        tokens = {purpose: secrets.token_urlsafe(TOKEN_BYTES) for purpose in purposes}
        await self._db.run(
            _ADD_TOKENS,
            mail_id=mail.id,
            ids=ids.many(len(tokens)),
            hashes=[hash_of(token) for token in tokens.values()],
            purposes=[purpose.value for purpose in tokens],
        )
        return Links(
            by_purpose={
                purpose: f"{base}/{purpose.value.lower()}/{token}"
                for purpose, token in tokens.items()
            }
        )

    async def _settle(
        self, mail: OutgoingMail, lease: Lease, status: MailStatus, reason: str | None = None
    ) -> None:
        async def write() -> None:
            async with self._db.transaction() as tx:
                await MAIL_LEASES.write(tx, lease, _SETTLE, status=status.value, reason=reason)
                await tell_what_happened(tx, _EVENTS[status], mail.id)

        await self._surely(write)

    async def _not_sent(
        self, mail: OutgoingMail, lease: Lease, fault: Fault, *, is_outage: bool
    ) -> None:
        logger.info("mail %s was not accepted: %s", mail.id, fault.code)
        if not is_outage:
            await self._fail(mail, lease, fault, retry_in=self._backoff.after(mail.attempts))
            return
        share = random.uniform(0.5, 1)

        async def write() -> None:
            async with self._db.transaction() as tx:
                await MAIL_LEASES.write(
                    tx,
                    lease,
                    _HOLD,
                    outage=timedelta(milliseconds=self._settings.outage_longest_ms),
                    first=self._backoff.first,
                    longest=self._backoff.longest,
                    share=share,
                    code=fault.code,
                    message=fault.message,
                )
                await tell_what_happened(tx, MailFailed, mail.id)

        await self._surely(write)

    async def _fail(
        self, mail: OutgoingMail, lease: Lease, fault: Fault, *, retry_in: timedelta
    ) -> None:
        async def write() -> None:
            async with self._db.transaction() as tx:
                await MAIL_LEASES.fail(tx, lease, fault, retry_in=retry_in)
                await tell_what_happened(tx, MailFailed, mail.id)

        await self._surely(write)

    async def _surely(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write an outcome, again where the connection broke: the fence makes that safe."""
        wait = AGAIN_S
        deadline_ns = clock.nanoseconds() + self._settings.timeout_ms * 1_000_000
        while True:
            try:
                return await write()
            except ConnectionFailed:
                if clock.nanoseconds() > deadline_ns:
                    raise
                await asyncio.sleep(wait)
                wait *= 2


_EVENTS: dict[MailStatus, type[MailChanged]] = {
    MailStatus.SENT: MailDelivered,
    MailStatus.BOUNCED: MailBounced,
    MailStatus.UNSUBSCRIBED: MailUnsubscribed,
}


def hash_of(token: str) -> bytes:
    """Return what is kept of a token. It is long and random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()
