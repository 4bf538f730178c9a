"""Plain reads and writes of the host's tables."""

from __future__ import annotations

from bedplate.kernel.repository import Repository
from bedplate.modules.mining.models import (
    CostPayment,
    Hardware,
    Miner,
    MinerRateHistory,
    Space,
    UserActivity,
)

spaces = Repository(Space)
hardware = Repository(Hardware)
miners = Repository(Miner)
miner_rate_history = Repository(MinerRateHistory)
cost_payments = Repository(CostPayment)
user_activities = Repository(UserActivity)
