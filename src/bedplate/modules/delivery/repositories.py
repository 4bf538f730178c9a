"""The named reads of `delivery`, and the leases on its mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    DateTime,
    LargeBinary,
    SmallInteger,
    Text,
    Time,
    Uuid,
    bindparam,
    column,
    select,
    text,
)

from bedplate.kernel.context import UserId
from bedplate.kernel.handle import Handle
from bedplate.kernel.leases import Leases
from bedplate.kernel.query import Query
from bedplate.kernel.repository import Repository
from bedplate.kernel.types import moment, user_key
from bedplate.modules.delivery.models import (
    MailAttachment,
    MailPreference,
    MailQuietHours,
    OutgoingMail,
)
from bedplate.modules.delivery.rules import QuietHours

MAIL_LEASES: Leases[OutgoingMail] = Leases(OutgoingMail)
"""The right to work on a mail, until it runs out."""

outgoing_mails = Repository(OutgoingMail)
mail_preferences = Repository(MailPreference)
mail_quiet_hours = Repository(MailQuietHours)

BECAME: Query[Any] = Query(
    text(
        "SELECT id, dedupe_key, category, user_id, recipient, status, retry_count, next_retry_at,"
        " failure_reason, sent_at, opened_at FROM delivery.outgoing_mails WHERE id = :id"
    )
    .bindparams(bindparam("id", type_=Uuid))
    .columns(
        column("id", Uuid),
        column("dedupe_key", Text),
        column("category", Text),
        column("user_id", user_key()),
        column("recipient", Text),
        column("status", Text),
        column("retry_count", SmallInteger),
        column("next_retry_at", moment()),
        column("failure_reason", Text),
        column("sent_at", moment()),
        column("opened_at", moment()),
    )
)
"""What became of a mail, in the order of an event's fields."""

ATTACHED = Query(
    select(MailAttachment)
    .where(MailAttachment.mail_id == bindparam("mail_id"))
    .order_by(MailAttachment.position)
)

# What is said of the user and what is said of the address count alike: one "no" is enough. Of quiet
# hours the user's come first.
WISHES: Query[Any] = Query(
    text(
        """
        SELECT bedplate.clock() AS at,
            (SELECT bool_and(is_wanted) FROM delivery.mail_preferences
             WHERE category = :category AND (user_id = :user_id OR address = :address)) AS wanted,
            starts_at, ends_at, time_zone
        FROM (VALUES (1)) AS one (row) LEFT JOIN LATERAL (
            SELECT starts_at, ends_at, time_zone FROM delivery.mail_quiet_hours
            WHERE user_id = :user_id OR address = :address
            ORDER BY user_id NULLS LAST LIMIT 1
        ) AS quiet ON true
        """
    )
    .bindparams(
        bindparam("category", type_=Text),
        bindparam("user_id", type_=user_key()),
        bindparam("address", type_=Text),
    )
    .columns(
        column("at", DateTime(timezone=True)),
        column("wanted", Boolean),
        column("starts_at", Time),
        column("ends_at", Time),
        column("time_zone", Text),
    )
)

OF_TOKEN: Query[Any] = Query(
    text(
        "SELECT mail_id FROM delivery.mail_tokens"
        " WHERE token_hash = :token_hash AND purpose = :purpose"
    )
    .bindparams(bindparam("token_hash", type_=LargeBinary), bindparam("purpose", type_=Text))
    .columns(column("mail_id", Uuid))
)

DUE: Query[Any] = Query(
    text(
        "SELECT count(*) FROM (SELECT FROM delivery.outgoing_mails"
        " WHERE state = 'PENDING' AND run_at <= bedplate.clock()"
        " OR state = 'RUNNING' AND expires_at <= bedplate.clock() LIMIT :limit) AS due"
    ).bindparams(bindparam("limit", type_=SmallInteger))
)
"""How many mails wait for a worker, counted up to a limit."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an addressee wants of one category, at a moment; `wanted` is None where nobody said."""

    at: datetime
    wanted: bool | None
    quiet: QuietHours | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a user, or an address, chose: per category, and the quiet hours."""

    wanted: dict[str, bool]
    quiet: QuietHours | None


async def mail_of(db: Handle, mail_id: UUID) -> OutgoingMail:
    """Return a mail and what became of it; raises NotFound."""
    return await outgoing_mails.get(db, mail_id)


async def wishes_of(db: Handle, category: str, *, user_id: UserId | None, address: str) -> Wishes:
    """Return what counts for one mail now."""
    at, wanted, starts, ends, zone = await db.one(
        WISHES, category=category, user_id=user_id, address=address.lower()
    )
    return Wishes(at, wanted, _hours(starts, ends, zone))


def _hours(starts: time | None, ends: time | None, zone: str | None) -> QuietHours | None:
    if starts is None or ends is None or zone is None:
        return None
    return QuietHours(starts, ends, zone)


async def preferences_of(
    db: Handle, *, user_id: UserId | None = None, address: str | None = None
) -> Preferences:
    """Return what a user, or an address, chose; categories without a choice are not in it."""
    mine: Any = MailPreference.user_id == user_id
    hours: Any = MailQuietHours.user_id == user_id
    if user_id is None:
        lower = (address or "").lower()
        mine, hours = MailPreference.address == lower, MailQuietHours.address == lower
    chosen = await db.all(select(MailPreference.category, MailPreference.is_wanted).where(mine))
    quiet = await db.first(select(MailQuietHours).where(hours))
    return Preferences(
        dict(chosen),
        quiet if quiet is None else _hours(quiet.starts_at, quiet.ends_at, quiet.time_zone),
    )
