"""The verbs of `credits` that write."""

from bedplate.modules.credits.actions.accounts import (
    expire_due,
    grant,
    open_account,
    set_feature_costs,
)
from bedplate.modules.credits.actions.answers import (
    Account,
    Charge,
    Deducted,
    Expired,
    Granted,
    GrantTerms,
    Held,
    Refunded,
    Refused,
    Released,
    Settled,
)
from bedplate.modules.credits.actions.charges import deduct, deduct_many, deduct_or_raise, refund
from bedplate.modules.credits.actions.holds import capture, release, reserve

__all__ = [
    "Account",
    "Charge",
    "Deducted",
    "Expired",
    "GrantTerms",
    "Granted",
    "Held",
    "Refunded",
    "Refused",
    "Released",
    "Settled",
    "capture",
    "deduct",
    "deduct_many",
    "deduct_or_raise",
    "expire_due",
    "grant",
    "open_account",
    "refund",
    "release",
    "reserve",
    "set_feature_costs",
]
