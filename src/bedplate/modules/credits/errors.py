"""What the verbs of `credits` refuse; nothing is written then, and a transaction can go on."""

from __future__ import annotations

from bedplate.kernel.errors import BedplateError


class InsufficientCredits(BedplateError):
    """The account has fewer credits to spend than needed; `balance` and `needed` say how many.

    The refusal is kept under the request's key: a retry under the same key stays refused.
    """

    code = "credits.insufficient"
    advice = "Grant credits, then ask again under a new key."

    def __init__(self, message: str = "", *, balance: int = 0, needed: int = 0) -> None:
        self.balance = balance
        self.needed = needed
        super().__init__(message or f"{needed} credits are needed and {balance} can be spent.")


class UnknownAccount(BedplateError):
    """The user has no account of credits."""

    code = "credits.unknown_account"
    advice = "Open one with credits.open_account, or correct the user's id."


class UnknownUser(BedplateError):
    """There is no such user to open an account for."""

    code = "credits.unknown_user"
    advice = "Create the user first, or correct the id."


class UnknownOperation(BedplateError):
    """The operation is none of OperationType."""

    code = "credits.unknown_operation"
    advice = "Pass a member of OperationType."


class AmountInvalid(BedplateError):
    """The amount is not a whole number of credits within the limits."""

    code = "credits.amount_invalid"
    advice = "Pass an int from 1 to 1,000,000,000."


class KeyInvalid(BedplateError):
    """The idempotency key is empty, too long, or not a text."""

    code = "credits.key_invalid"
    advice = "Pass 1 to 255 characters, such as a UUID made by the client."


class NotYourAccount(BedplateError):
    """Somebody acts on the account of somebody else."""

    code = "credits.not_your_account"
    advice = (
        "Act as the account's user or as the system; others may use ADMIN_ADJUSTMENT, or refund "
        "with authorised=True where the app lets them."
    )


class NotAuthorised(BedplateError):
    """A user who acts adds credits to an account."""

    code = "credits.not_authorised"
    advice = "Act as the system, or pass authorised=True where the app lets this user grant."


class CostUnknown(BedplateError):
    """No amount was given, and the operation has no cost."""

    code = "credits.cost_unknown"
    advice = "Pass amount=, or set a cost with set_feature_costs."


class UnknownUsage(BedplateError):
    """There is no such charge."""

    code = "credits.unknown_usage"
    advice = "Pass the usage_id that deduct or capture answered."


class RefundRefused(BedplateError):
    """More than the charge has left, or a refund of a refund."""

    code = "credits.refund_refused"
    advice = "Refund a charge, and at most what was not refunded yet."


class UnknownHold(BedplateError):
    """There is no such hold."""

    code = "credits.unknown_hold"
    advice = "Pass the hold_id that reserve answered."


class HoldOver(BedplateError):
    """The hold ended before: captured, released or expired."""

    code = "credits.hold_over"
    advice = "Reserve again under a new key."


class GrantInvalid(BedplateError):
    """The terms of a grant do not work."""

    code = "credits.grant_invalid"
    advice = "Let it expire in the future, with a zone, or never."


class PeriodInvalid(BedplateError):
    """A period of time is none, or is longer than allowed."""

    code = "credits.period_invalid"
    advice = "Pass a period within the limits."


class BalanceTooLarge(BedplateError):
    """The account would hold more than 2,147,483,647 credits."""

    code = "credits.balance_too_large"
    advice = "Grant less."


class AccountsUnsettled(BedplateError):
    """What expired could not be booked in some accounts; in all others it was."""

    code = "credits.accounts_unsettled"
    advice = "Run `bedplate check`, and see the server's log for what is wrong with them."


class AnswerUnknown(BedplateError):
    """A verb answered what this version of the code does not know."""

    code = "credits.answer_unknown"
    advice = "Run `bedplate migrate status`: the database's functions are of another version."
