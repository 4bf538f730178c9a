"""The manifest of `mining`."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from bedplate.modules.mining import samples
from bedplate.modules.mining.models import (
    CostPayment,
    Hardware,
    Miner,
    MinerRateHistory,
    Space,
    UserActivity,
)

MODULE = ModuleManifest(
    name="mining",
    package="bedplate.modules.mining",
    models=(Space, Hardware, Miner, MinerRateHistory, CostPayment, UserActivity),
    requires=("auth",),
    adoptable={
        "spaces": Space,
        "hardware": Hardware,
        "miners": Miner,
        "miner_rate_history": MinerRateHistory,
        "cost_payments": CostPayment,
        "user_activities": UserActivity,
    },
    samples=samples.load,
)
