"""The tables of a mining host that accounting reads: made here, or adopted one by one."""

from bedplate.modules.mining.actions import record_payment, retire_miner, set_rate
from bedplate.modules.mining.models import (
    CostPayment,
    Hardware,
    Miner,
    MinerRateHistory,
    Space,
    UserActivity,
)
from bedplate.modules.mining.module import MODULE
from bedplate.modules.mining.repositories import (
    cost_payments,
    hardware,
    miner_rate_history,
    miners,
    spaces,
    user_activities,
)

__all__ = [
    "MODULE",
    "CostPayment",
    "Hardware",
    "Miner",
    "MinerRateHistory",
    "Space",
    "UserActivity",
    "cost_payments",
    "hardware",
    "miner_rate_history",
    "miners",
    "record_payment",
    "retire_miner",
    "set_rate",
    "spaces",
    "user_activities",
]
