"""What is asked of the verbs of `credits`, and what they answer. Amounts are whole credits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from bedplate.kernel.context import UserId
from bedplate.modules.credits.models import OperationType


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One request to charge an account; no amount means the operation's cost."""

    user_id: UserId
    operation: OperationType
    key: str
    amount: int | None = None
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTerms:
    """Where a grant comes from, when it is burned (lowest priority first), when it expires."""

    source: str = "admin"
    priority: int = 0
    expires_at: datetime | None = None
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deducted:
    """A charge: what it took, and what the account had right after. A replay answers the same."""

    usage_id: UUID
    user_id: UserId
    operation: OperationType
    credits_used: int
    balance: int
    available: int
    at: datetime
    replayed: bool = field(compare=False, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Too few credits, for good: the refusal is kept under its key."""

    user_id: UserId
    operation: OperationType
    needed: int
    available: int
    replayed: bool = field(compare=False, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """Credits given back of the charge `refund_of`.

    `balance` is that right after; credits of a grant that is over then expire at once.
    """

    usage_id: UUID
    refund_of: UUID
    credits: int
    balance: int
    replayed: bool = field(compare=False, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Credits set aside until they are captured, released, or `expires_at` comes."""

    hold_id: UUID
    user_id: UserId
    operation: OperationType
    amount: int
    expires_at: datetime
    available: int
    replayed: bool = field(compare=False, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The credits of a hold are free again; `balance` is that right after they became so."""

    hold_id: UUID
    credits: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Credits came into the account; `balance` is that right after. A replay answers the same."""

    grant_id: UUID
    amount: int
    balance: int
    replayed: bool = field(compare=False, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user's account; `created` tells whether this call opened it."""

    balance_id: UUID
    user_id: UserId
    balance: int
    available: int
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How far settling came: to this account, which was due then."""

    due: datetime
    balance_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """How many accounts were settled, and how many credits expired in them.

    `failed` are the balances that could not be settled; `last` is where to go on, None where
    nothing else was due.
    """

    accounts: int
    credits: int
    failed: tuple[UUID, ...]
    last: Settled | None
