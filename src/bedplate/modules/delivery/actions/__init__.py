"""The verbs of `delivery`: ask for mail, deliver it, heed what comes back and what is wanted."""

from bedplate.modules.delivery.actions.answering import (
    Unsubscribed,
    record_bounce,
    record_open,
    unsubscribe,
)
from bedplate.modules.delivery.actions.choosing import set_preference, set_quiet_hours
from bedplate.modules.delivery.actions.delivering import DELIVER, Delivered, deliver_due, sweep
from bedplate.modules.delivery.actions.sending import cancel, retry, retry_failed, send

__all__ = [
    "DELIVER",
    "Delivered",
    "Unsubscribed",
    "cancel",
    "deliver_due",
    "record_bounce",
    "record_open",
    "retry",
    "retry_failed",
    "send",
    "set_preference",
    "set_quiet_hours",
    "sweep",
    "unsubscribe",
]
