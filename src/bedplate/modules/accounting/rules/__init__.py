"""Pure decisions of `accounting`."""

from bedplate.modules.accounting.rules.balances import (
    TRANSITIONS,
    PaymentState,
    balance_due,
    payment_state,
)
from bedplate.modules.accounting.rules.letters import About, Letter, letter_about

__all__ = [
    "TRANSITIONS",
    "About",
    "Letter",
    "PaymentState",
    "balance_due",
    "letter_about",
    "payment_state",
]
