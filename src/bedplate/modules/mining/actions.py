"""What a mining host does with its tables; on adopted ones the host does it itself."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from bedplate.kernel.database import Writer
from bedplate.kernel.fields import assign
from bedplate.modules.mining.models import CostPayment, Miner, MinerRateHistory
from bedplate.modules.mining.repositories import cost_payments, miner_rate_history, miners


async def record_payment(
    db: Writer, user_id: UUID, amount: Decimal, *, reference: str | None = None
) -> CostPayment:
    """Store money that came in, from 0.01 to 9,999,999,999.99.

    Raises CheckViolation for an amount outside of it, ForeignKeyViolation for an unknown user,
    FloatRefused for a float, TableNotWritable where the table is a host's.
    """
    paid = CostPayment(user_id=user_id, amount=amount, reference=reference)
    return await cost_payments.create(db, paid)


async def retire_miner(db: Writer, miner_id: UUID) -> Miner:
    """Take a miner out of service: it is not billed any more. Raises NotFound."""
    return await miners.update(db, miner_id, assign(Miner.status, "RETIRED"))


async def set_rate(
    db: Writer, miner_id: UUID, rate: Decimal, effective_from: date
) -> MinerRateHistory:
    """Note what a miner earns per day from a date on; one rate per miner and date.

    Raises UniqueViolation for a second rate of one date, CheckViolation for a negative one.
    """
    row = MinerRateHistory(miner_id=miner_id, rate=rate, effective_from=effective_from)
    return await miner_rate_history.create(db, row)
