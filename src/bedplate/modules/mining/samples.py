"""Sample spaces, machines and payments of the sample users."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import User, sample_users, users
from bedplate.modules.mining.models import CostPayment, Hardware, Miner, Space
from bedplate.modules.mining.repositories import cost_payments, hardware, miners, spaces

MINERS_OF_EACH = 3
PAYMENT = Decimal("250.00")
FIRST_ID = 0x0198_0000_0000_7000_8001_0000_0000_0000


async def load(tx: Transaction) -> int:
    """Add the sample rows that are not there yet; return how many were added."""
    hall = Space(id=_id(1), name="Hall 1", location="Reykjavík")
    machine = Hardware(id=_id(2), name="S21", hash_rate_ths=Decimal(200), power_watts=3_500)
    if await spaces.exists(tx, Space.id == hall.id):
        return 0
    await spaces.create(tx, hall)
    await hardware.create(tx, machine)
    added = 2
    for place, user in enumerate(sample_users()):
        if not await users.exists(tx, User.id == user.id):
            continue
        for number in range(MINERS_OF_EACH):
            own = Miner(
                id=_id(100 + 10 * place + number),
                user_id=user.id,
                name=f"{user.name} {number + 1}",
                hardware_id=machine.id,
                space_id=hall.id,
            )
            await miners.create(tx, own)
        paid = CostPayment(
            id=_id(1_000 + place), user_id=user.id, amount=PAYMENT, reference="first"
        )
        await cost_payments.create(tx, paid)
        added += MINERS_OF_EACH + 1
    return added


def _id(number: int) -> UUID:
    return UUID(int=FIRST_ID + number)
