"""Charging: one call, one round trip, on `db` or within a transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bedplate.kernel import ids
from bedplate.kernel.context import UserId
from bedplate.kernel.database import Database, Writer, carried_context
from bedplate.kernel.errors import BedplateError, FieldInvalid, LimitExceeded
from bedplate.kernel.gathering import Gathering
from bedplate.kernel.types import user_key
from bedplate.kernel.values import array_text, converter
from bedplate.modules.credits import rules
from bedplate.modules.credits.actions.answers import Charge, Deducted, Refunded, Refused
from bedplate.modules.credits.actions.calls import call, failure
from bedplate.modules.credits.errors import InsufficientCredits, RefundRefused
from bedplate.modules.credits.models import OperationType

CHARGES_MAX = 10_000
"""How many charges one call of `deduct_many` takes."""

DEDUCT = call(
    "SELECT outcome, usage_id, credits, balance, available, at, replayed FROM credits.deduct("
    ":id, :user_id, CAST(:operation AS credits.operation_type), :key, :amount, :details, "
    ":default_cost, :context)"
)
DEDUCT_MANY = call(
    "SELECT place, outcome, usage_id, credits, balance, available, at, replayed "
    "FROM credits.deduct_many(:ids, :users, :operations, :keys, :amounts, :details, :defaults, "
    ":context, :contexts) ORDER BY place"
)
REFUND = call(
    "SELECT outcome, usage_id, credits, balance, replayed "
    "FROM credits.refund(:id, :usage_id, :key, :amount, :details, :context, :is_authorised)"
)
_DEFAULTS = rules.costs_document(rules.DEFAULT_COSTS)


async def deduct(
    db: Writer,
    user_id: UserId,
    operation: OperationType,
    *,
    key: str,
    amount: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Deducted | Refused:
    """Charge an account once under `key`; without an amount the operation's cost (plan D).

    The balance row is locked first, the cost read and stored inside, the grants burned by
    priority, expiry and age; one round trip. A refusal is kept under its key. On `db`, charges
    of one account by its user or the system go together where they would wait for one another
    (kernel/gathering.py): what is over in the account is booked in the name of the first. Raises
    IdempotencyConflict for another request under the key, UnknownAccount, UnknownOperation,
    AmountInvalid, KeyInvalid, NotYourAccount, CostUnknown; nothing is written then.
    """
    charge = Charge(
        user_id=user_id,
        operation=rules.operation_of(operation),
        key=rules.require_key(key),
        amount=None if amount is None else rules.require_amount(amount),
        details=details,
    )
    asked = _Asked(charge, carried_context(db))
    if isinstance(db, Database) and asked.is_the_users_own:
        return await _WAITING.ask(db, str(user_id), key, asked)
    return await _alone(db, asked)


async def deduct_or_raise(
    db: Writer,
    user_id: UserId,
    operation: OperationType,
    *,
    key: str,
    amount: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Deducted:
    """Charge as `deduct` does; raises InsufficientCredits where that is refused.

    On `db` the refusal is kept; in a transaction it is undone with it if the error leaves it.
    """
    answer = await deduct(db, user_id, operation, key=key, amount=amount, details=details)
    if isinstance(answer, Refused):
        raise InsufficientCredits(balance=answer.available, needed=answer.needed)
    return answer


async def deduct_many(db: Writer, charges: Sequence[Charge]) -> list[Deducted | Refused]:
    """Charge many requests, of one account or many, in their order, as one statement.

    Each is answered as `deduct` would, at most 10,000 of them. Raises what `deduct` raises, naming
    the charge's place, and LimitExceeded; nothing is written then.
    """
    if len(charges) > CHARGES_MAX:
        raise LimitExceeded(f"deduct_many takes {CHARGES_MAX} charges.", "Send them in parts.")
    if not charges:
        return []
    operations = [
        rules.operation_of(charge.operation, f"charges[{place}].operation")
        for place, charge in enumerate(charges)
    ]
    for place, charge in enumerate(charges):
        rules.require_key(charge.key, f"charges[{place}].key")
        if charge.amount is not None:
            rules.require_amount(charge.amount, f"charges[{place}].amount")
    rows = await _rows(db, charges, operations, {"context": carried_context(db)})
    return [
        _answer(row[1:], charge.user_id, operation, f"charges[{row[0] - 1}]")
        for row, charge, operation in _matched(rows, charges, operations)
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A valid request, and who makes it."""

    charge: Charge
    context: dict[str, str] | None

    @property
    def is_the_users_own(self) -> bool:
        """Whether the system asks, or the account's own user.

        Anyone else may well be refused, and then has no business in a statement of others: what is
        over in an account is ended, and written down, in the name of who came first.
        """
        actor = None if self.context is None else self.context.get("actor")
        return actor is None or actor == str(self.charge.user_id)


async def _alone(db: Writer, asked: _Asked) -> Deducted | Refused:
    charge = asked.charge
    row = await db.one(
        DEDUCT,
        id=ids.new(),
        user_id=charge.user_id,
        operation=charge.operation.value,
        key=charge.key,
        amount=charge.amount,
        details=charge.details,
        default_cost=rules.DEFAULT_COSTS.get(charge.operation),
        context=asked.context,
    )
    return _answer(row, charge.user_id, charge.operation, "")


async def _together(db: Database, asked: list[_Asked]) -> list[Deducted | Refused | Exception]:
    """Make the requests of several callers one call: what each would be answered by itself."""
    charges = [each.charge for each in asked]
    contexts = [each.context for each in asked]
    given = {"context": contexts[0], "contexts": contexts}
    rows = await _rows(db, charges, [charge.operation for charge in charges], given)
    answers: list[Deducted | Refused | Exception] = []
    for row, charge in zip(rows, charges, strict=True):
        try:
            answers.append(_answer(row[1:], charge.user_id, charge.operation, ""))
        except BedplateError as error:
            answers.append(error)
    return answers


_WAITING: Gathering[_Asked, Deducted | Refused] = Gathering(_alone, _together)
"""Charges of one account that came while another was on its way."""


async def _rows(
    db: Writer,
    charges: Sequence[Charge],
    operations: list[OperationType],
    contexts: Mapping[str, Any],
) -> list[Any]:
    details = [charge.details for charge in charges]
    return await db.all(
        DEDUCT_MANY,
        ids=array_text(ids.texts(len(charges))),
        users=array_text(_users(db, charges)),
        operations=array_text(operation.value for operation in operations),
        keys=array_text(charge.key for charge in charges),
        amounts=array_text(
            None if charge.amount is None else str(charge.amount) for charge in charges
        ),
        details=details if any(each is not None for each in details) else None,
        defaults=_DEFAULTS,
        **{"context": None, "contexts": None, **contexts},
    )


def _matched(
    rows: list[Any], charges: Sequence[Charge], operations: list[OperationType]
) -> Iterator[tuple[Any, Charge, OperationType]]:
    """Pair each row with its request; where some are refused as bad, only those have rows."""
    for row in rows:
        yield row, charges[row[0] - 1], operations[row[0] - 1]


def _users(db: Writer, charges: Sequence[Charge]) -> Iterator[str]:
    converted = converter(user_key(), db.dialect, "user_id")
    for place, charge in enumerate(charges):
        try:
            yield str(converted(charge.user_id))
        except FieldInvalid as wrong:
            raise type(wrong)(f"charges[{place}].{wrong.message}", wrong.next_step) from None


def _answer(
    row: Sequence[Any], user_id: UserId, operation: OperationType, place: str
) -> Deducted | Refused:
    outcome, usage_id, used, balance, available, at, replayed = row
    if outcome == "DEDUCTED":
        return Deducted(
            usage_id=usage_id,
            user_id=user_id,
            operation=operation,
            credits_used=used,
            balance=balance,
            available=available,
            at=at,
            replayed=replayed,
        )
    if outcome == "REFUSED":
        return Refused(
            user_id=user_id,
            operation=operation,
            needed=used,
            available=available,
            replayed=replayed,
        )
    raise failure(outcome, place)


async def refund(
    db: Writer,
    usage_id: UUID,
    *,
    key: str,
    amount: int | None = None,
    details: Mapping[str, Any] | None = None,
    authorised: bool = False,
) -> Refunded:
    """Give a charge back, in part or (without an amount) all that is left of it, once per key.

    The credits return to the grants that paid, last burned first; those of a grant that expired
    meanwhile expire at once. Raises NotYourAccount where a user acts on another's charge, unless
    the caller has decided that this one may (`authorised`); UnknownUsage, RefundRefused,
    BalanceTooLarge, IdempotencyConflict, AmountInvalid, KeyInvalid.
    """
    row = await db.one(
        REFUND,
        id=ids.new(),
        usage_id=usage_id,
        key=rules.require_key(key),
        amount=None if amount is None else rules.require_amount(amount),
        details=details,
        context=carried_context(db),
        is_authorised=authorised,
    )
    outcome, refund_id, credits, balance, replayed = row
    if outcome == "REFUNDED":
        return Refunded(
            usage_id=refund_id,
            refund_of=usage_id,
            credits=credits,
            balance=balance,
            replayed=replayed,
        )
    if outcome == "TOO_MUCH":
        raise RefundRefused(f"The charge has {credits} credits left to refund.")
    raise failure(outcome)
