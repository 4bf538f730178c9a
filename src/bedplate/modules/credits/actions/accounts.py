"""Accounts, what comes into them, and what the features cost."""

from __future__ import annotations

from collections.abc import Mapping

from bedplate.kernel import ids
from bedplate.kernel.context import UserId
from bedplate.kernel.database import Writer, carried_context
from bedplate.modules.credits import rules
from bedplate.modules.credits.actions.answers import (
    Account,
    Expired,
    Granted,
    GrantTerms,
    Settled,
)
from bedplate.modules.credits.actions.calls import call, failure
from bedplate.modules.credits.errors import GrantInvalid
from bedplate.modules.credits.models import OperationType

OPENING_CREDITS = 100
"""What an account starts with (plan D)."""

PLAIN_TERMS = GrantTerms()

SETTLED_MAX = 50
"""How many accounts one call of `expire_due` settles: they are locked until its end."""

OPEN = call(
    "SELECT outcome, balance_id, balance, available, created "
    "FROM credits.open_account(:id, :user_id, :credits, :context)"
)
GRANT = call(
    "SELECT outcome, grant_id, balance, replayed FROM credits.grant_credits("
    ":id, :user_id, :amount, :key, :terms, :expires_at, :context, :is_authorised)"
)
EXPIRE = call(
    "SELECT accounts, credits, failed, last, last_id "
    "FROM credits.expire_due(:accounts_max, :after, :after_id)"
)
SET_COSTS = call("SELECT credits.set_feature_costs(:costs, :context)")


async def open_account(db: Writer, user_id: UserId, *, credits: int = OPENING_CREDITS) -> Account:
    """Give a user an account with `credits` to start with; the one it has, where it has one.

    For the users of an adopted table, and whoever was created while `credits` was not enabled.
    Raises UnknownUser, AmountInvalid.
    """
    outcome, balance_id, balance, available, created = await db.one(
        OPEN,
        id=ids.new(),
        user_id=user_id,
        credits=rules.require_amount(credits, "credits", least=0),
        context=carried_context(db),
    )
    if outcome != "OPENED":
        raise failure(outcome)
    return Account(
        balance_id=balance_id,
        user_id=user_id,
        balance=balance,
        available=available,
        created=created,
    )


async def grant(
    db: Writer,
    user_id: UserId,
    amount: int,
    *,
    key: str,
    terms: GrantTerms = PLAIN_TERMS,
    authorised: bool = False,
) -> Granted:
    """Add credits to an account, once per key.

    The system grants. A user who acts is refused (NotAuthorised), on the own account too, unless
    the caller has decided that this one may, and says so by `authorised`. Raises UnknownAccount,
    AmountInvalid, KeyInvalid, GrantInvalid (it would already be expired), BalanceTooLarge,
    IdempotencyConflict (other amount or terms under the key).
    """
    expires_at = terms.expires_at
    if expires_at is not None and expires_at.tzinfo is None:
        raise GrantInvalid("terms.expires_at has no zone.")
    outcome, grant_id, balance, replayed = await db.one(
        GRANT,
        id=ids.new(),
        user_id=user_id,
        amount=rules.require_amount(amount),
        key=rules.require_key(key),
        terms={"source": terms.source, "priority": terms.priority, "details": terms.details},
        expires_at=expires_at,
        context=carried_context(db),
        is_authorised=authorised,
    )
    if outcome == "GRANTED":
        return Granted(grant_id=grant_id, amount=amount, balance=balance, replayed=replayed)
    raise failure(outcome)


async def expire_due(
    db: Writer, *, accounts_max: int = SETTLED_MAX, after: Settled | None = None
) -> Expired:
    """Book what expired, and end holds that are over, in up to `accounts_max` accounts.

    Verbs settle the account they touch by themselves; this is for accounts that nobody touches.
    Those that were due first come first; `after` goes on behind an earlier call's `last`. An
    account that cannot be settled stops no other, and is named in `failed`.
    """
    moment_, balance_id = (None, None) if after is None else (after.due, after.balance_id)
    accounts, credits, failed, last, last_id = await db.one(
        EXPIRE, accounts_max=accounts_max, after=moment_, after_id=balance_id
    )
    return Expired(
        accounts=accounts,
        credits=credits,
        failed=tuple(failed),
        last=None if last is None else Settled(due=last, balance_id=last_id),
    )


async def set_feature_costs(db: Writer, costs: Mapping[OperationType, int]) -> None:
    """Set what operations cost, over the defaults in the code; 0 makes one free.

    All of them, so what is not named falls back to its default. Charges already made keep their
    price; the audit log names who set it. Raises UnknownOperation, AmountInvalid.
    """
    await db.all(SET_COSTS, costs=rules.costs_document(costs), context=carried_context(db))
