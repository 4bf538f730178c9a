"""The named reads of `credits`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Numeric, Uuid, bindparam, column, func, select, text

from bedplate.kernel import clock, pagination
from bedplate.kernel.context import UserId
from bedplate.kernel.handle import Handle
from bedplate.kernel.pagination import PAGE_SIZE, Key, Page
from bedplate.kernel.query import Query
from bedplate.kernel.repository import Repository
from bedplate.kernel.types import moment, user_key
from bedplate.modules.auth import User, UserPreferences
from bedplate.modules.credits import rules
from bedplate.modules.credits.errors import UnknownAccount
from bedplate.modules.credits.models import (
    AdminSettings,
    CreditBalance,
    CreditGrant,
    CreditHold,
    Feature,
    OperationType,
    UsageHistory,
)

USER = bindparam("user_id", type_=user_key())
AT = bindparam("at", type_=moment())

# What came and went by then, less what was over by then and is not booked yet; and what was held.
BALANCE_AT: Query[Any] = Query(
    text(
        """
        SELECT
            (SELECT coalesce(sum(l.amount), 0)::bigint FROM credits.ledger l
             WHERE l.user_id = b.user_id AND l.at <= m.at)
            - (SELECT coalesce(sum(g.remaining - coalesce(
                   (SELECT sum(a.amount) FROM credits.hold_allocations a
                    JOIN credits.credit_holds h ON h.id = a.hold_id
                    WHERE a.grant_id = g.id AND h.state = 'OPEN' AND h.expires_at > m.at), 0)
               ), 0)::bigint FROM credits.credit_grants g
               WHERE g.credit_balance_id = b.id AND g.is_open AND g.expires_at <= m.at),
            (SELECT coalesce(sum(h.amount), 0)::bigint FROM credits.credit_holds h
             WHERE h.credit_balance_id = b.id AND h.created_at <= m.at AND h.expires_at > m.at
               AND (h.ended_at IS NULL OR h.ended_at > m.at))
        , m.at
        FROM credits.credit_balances b
        CROSS JOIN (SELECT coalesce(CAST(:at AS timestamptz), bedplate.clock()) AS at OFFSET 0) m
        WHERE b.user_id = :user_id
        """
    ).bindparams(USER, AT)
)
ENTRY_KEYS = (
    Key("at", column("at", moment()), descending=False, nullable=False),
    Key("id", column("id", Uuid()), descending=False, nullable=False),
)


def _entries(beyond: str, within: str, order: str) -> Query[Any]:
    return Query(
        text(
            f"""
            SELECT l.at, l.kind, l.id, l.amount FROM credits.ledger l
            WHERE l.user_id = :user_id AND (l.at, l.id) {beyond} (:mark_at, :mark_id)
              AND l.at {within} :bound ORDER BY l.at {order}, l.id {order} LIMIT :rows
            """
        ).bindparams(
            USER,
            bindparam("mark_at", type_=moment()),
            bindparam("mark_id", type_=Uuid()),
            bindparam("bound", type_=moment()),
            bindparam("rows", type_=Integer()),
        )
    )


ENTRIES = _entries(">", "<=", "ASC")
EARLIER_ENTRIES = _entries("<", ">", "DESC")
LAST_ID = UUID(int=2**128 - 1)
"""What no entry of a moment comes behind."""

ANALYTICS = Query(
    select(
        UsageHistory.operation_type,
        func.sum(UsageHistory.credits_used, type_=Numeric(asdecimal=True)),
        func.count(),
    )
    .where(UsageHistory.user_id == USER, UsageHistory.timestamp >= bindparam("since"))
    .group_by(UsageHistory.operation_type)
    .order_by(UsageHistory.operation_type)
)
COSTS = Query(select(AdminSettings.feature_costs))
WITH_DATA = Query(
    select(User, CreditBalance, UserPreferences)
    .outerjoin(CreditBalance, CreditBalance.user_id == User.id)
    .outerjoin(UserPreferences, UserPreferences.user_id == User.id)
    .where(User.id == USER)
)
BY_USER = Query(select(CreditBalance).where(CreditBalance.user_id == USER))

credit_balances = Repository(CreditBalance)
credit_grants = Repository(CreditGrant)
credit_holds = Repository(CreditHold)
usage_history = Repository(UsageHistory)
features = Repository(Feature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account had at a moment: `available` is what could be spent."""

    user_id: UserId
    credits: int
    held: int
    available: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of a balance: grant, charge, refund or expiry, and its row's id."""

    at: datetime
    kind: str
    id: UUID
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The changes after `since` up to `until`; opening + their sum = closing."""

    since: datetime
    until: datetime
    opening: int
    entries: tuple[Entry, ...]
    closing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many credits an operation used, refunds subtracted, and in how many rows."""

    operation: OperationType
    credits: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """A user with its account and preferences; None where it has none (plan D)."""

    user: User
    balance: CreditBalance | None
    preferences: UserPreferences | None


async def balance_of(db: Handle, user_id: UserId, *, at: datetime | None = None) -> Balance:
    """Return what an account had at a moment, by default the server's now; or UnknownAccount.

    Recomputed from its history, never read from what is stored; expired credits are gone from the
    very instant on, booked or not.
    """
    row = await db.first(BALANCE_AT, user_id=user_id, at=at)
    if row is None:
        raise UnknownAccount("The user has no account.")
    credits, held, moment_ = row
    return Balance(
        user_id=user_id, credits=credits, held=held, available=credits - held, at=moment_
    )


async def statement(db: Handle, user_id: UserId, *, since: datetime, until: datetime) -> Statement:
    """Return every change of an account after `since` up to `until`; raises UnknownAccount.

    Credits that are over but not booked yet show in `closing` and get their entry when booked;
    `expire_due` books them. Read it in one `db.read()` where the account is in use. Raises
    LimitExceeded for more entries than the project's rows_max: read those by `ledger_entries`.
    """
    opening = await balance_of(db, user_id, at=since)
    rows = await db.all(
        ENTRIES, user_id=user_id, mark_at=since, mark_id=LAST_ID, bound=until, rows=None
    )
    closing = await balance_of(db, user_id, at=until)
    return Statement(
        since=since,
        until=until,
        opening=opening.credits,
        entries=tuple(_entry(row) for row in rows),
        closing=closing.credits,
    )


async def ledger_entries(
    db: Handle,
    user_id: UserId,
    *,
    since: datetime,
    until: datetime,
    size: int = PAGE_SIZE,
    at: str | None = None,
) -> Page[Entry]:
    """Return a page of an account's changes after `since` up to `until`, oldest first.

    A user without an account has an empty one. `at` is the `next` or `previous` of another page.
    Raises CursorInvalid for a cursor of another user or window, LimitExceeded for a size outside
    1 to 1,000.
    """
    pagination.check_size(size)
    values = [str(user_id), since, until]
    bound_to = pagination.fingerprint(b"credits.ledger", values, ENTRY_KEYS, deleted=False)
    position = None if at is None else pagination.decode(at, ENTRY_KEYS, bound_to)
    is_backward = position is not None and position.backward
    mark_at, mark_id = (since, LAST_ID) if position is None else position.values
    rows = await db.all(
        EARLIER_ENTRIES if is_backward else ENTRIES,
        user_id=user_id,
        mark_at=mark_at,
        mark_id=mark_id,
        bound=since if is_backward else until,
        rows=size + 1,
    )
    found = [_entry(row) for row in rows]
    return pagination.page_of(found, size, position, ENTRY_KEYS, bound_to)


def _entry(row: Any) -> Entry:
    at, kind, id_, amount = row
    return Entry(at=at, kind=kind, id=id_, amount=amount)


async def usage_analytics(db: Handle, user_id: UserId, days: int = 30) -> list[Usage]:
    """Return credits and rows per operation over the last `days` of 24 hours (plan D).

    Raises PeriodInvalid unless `days` is from 1 to 36,500.
    """
    since = clock.now() - timedelta(days=rules.require_days(days))
    rows = await db.all(ANALYTICS, user_id=user_id, since=since)
    return [Usage(operation=kind, credits=int(used), count=count) for kind, used, count in rows]


async def feature_costs(db: Handle) -> dict[OperationType, int]:
    """Return what each operation costs now: the settings over the defaults in the code."""
    stored = await db.first(COSTS) or {}
    return {
        **rules.DEFAULT_COSTS,
        **{OperationType(name): cost for name, cost in stored.items()},
    }


async def get_user_with_data(db: Handle, user_id: UserId) -> UserData | None:
    """Return a user with its balance and preferences, in one statement (plan D)."""
    row = await db.first(WITH_DATA, user_id=user_id)
    if row is None:
        return None
    user, balance, preferences = row
    return UserData(user=user, balance=balance, preferences=preferences)
