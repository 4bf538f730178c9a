"""Holds: set credits aside, then charge or free them. Each ends once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from bedplate.kernel import ids
from bedplate.kernel.database import Writer, carried_context
from bedplate.modules.credits import rules
from bedplate.modules.credits.actions.answers import Charge, Deducted, Held, Refused, Released
from bedplate.modules.credits.actions.calls import call, failure
from bedplate.modules.credits.errors import AmountInvalid
from bedplate.modules.credits.models import OperationType

HOLD_FOR = timedelta(minutes=15)
"""How long a hold lasts unless the caller says otherwise."""

RESERVE = call(
    "SELECT outcome, hold_id, credits, available, expires_at, replayed FROM credits.reserve("
    ":id, :user_id, CAST(:operation AS credits.operation_type), :key, :amount, :details, "
    ":default_cost, :expires_in, :context)"
)
CAPTURE = call(
    "SELECT outcome, usage_id, user_id, operation::text, credits, balance, available, at, "
    "replayed FROM credits.capture(:id, :hold_id, :amount, :context)"
)
RELEASE = call("SELECT outcome, credits, balance FROM credits.release(:hold_id, :context)")


async def reserve(
    db: Writer, charge: Charge, *, expires_in: timedelta = HOLD_FOR
) -> Held | Refused:
    """Set the credits of a charge to come aside, once per key, for at most 90 days.

    They lower what can be spent, not the balance, and belong to their grants: a grant that expires
    meanwhile keeps them until the hold ends. Raises what `deduct` raises, and PeriodInvalid.
    """
    operation = rules.operation_of(charge.operation)
    row = await db.one(
        RESERVE,
        id=ids.new(),
        user_id=charge.user_id,
        operation=operation.value,
        key=rules.require_key(charge.key),
        amount=None if charge.amount is None else rules.require_amount(charge.amount),
        details=charge.details,
        default_cost=rules.DEFAULT_COSTS.get(operation),
        expires_in=rules.require_hold_time(expires_in),
        context=carried_context(db),
    )
    outcome, hold_id, credits, available, expires_at, replayed = row
    if outcome == "HELD":
        return Held(
            hold_id=hold_id,
            user_id=charge.user_id,
            operation=operation,
            amount=credits,
            expires_at=expires_at,
            available=available,
            replayed=replayed,
        )
    if outcome == "REFUSED":
        return Refused(
            user_id=charge.user_id,
            operation=operation,
            needed=credits,
            available=available,
            replayed=replayed,
        )
    raise failure(outcome)


async def capture(db: Writer, hold_id: UUID, *, amount: int | None = None) -> Deducted:
    """Charge what a hold set aside, all of it or less; the rest is free again.

    Captured again with the same amount it answers the same. Raises UnknownHold, HoldOver (released
    or expired: at the very instant), AmountInvalid (more than was held), IdempotencyConflict
    (captured with another amount), NotYourAccount.
    """
    row = await db.one(
        CAPTURE,
        id=ids.new(),
        hold_id=hold_id,
        amount=None if amount is None else rules.require_amount(amount),
        context=carried_context(db),
    )
    outcome, usage_id, user_id, operation, credits, balance, available, at, replayed = row
    if outcome == "DEDUCTED":
        return Deducted(
            usage_id=usage_id,
            user_id=user_id,
            operation=OperationType(operation),
            credits_used=credits,
            balance=balance,
            available=available,
            at=at,
            replayed=replayed,
        )
    if outcome == "TOO_MUCH":
        raise AmountInvalid(f"The hold is of {credits} credits.", "Capture no more than that.")
    raise failure(outcome)


async def release(db: Writer, hold_id: UUID) -> Released:
    """Free what a hold set aside; again, or after it expired, it changes nothing.

    Raises UnknownHold, HoldOver (it was captured), NotYourAccount.
    """
    outcome, credits, balance = await db.one(RELEASE, hold_id=hold_id, context=carried_context(db))
    if outcome == "RELEASED":
        return Released(hold_id=hold_id, credits=credits, balance=balance)
    raise failure(outcome)
