"""Sample features, and some use of the sample users' credits."""

from __future__ import annotations

from sqlalchemy import select

from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import User, sample_users
from bedplate.modules.credits.actions import Charge, Deducted, deduct_many
from bedplate.modules.credits.models import CreditBalance, Feature, OperationType
from bedplate.modules.credits.repositories import features

FEATURES = (
    ("Chat", "Answers questions about a workspace.", ["ai"]),
    ("Images", "Draws what is described.", ["ai", "image"]),
    ("Blueprints", "Plans a workspace from an idea.", ["planning"]),
)


async def load(tx: Transaction) -> int:
    """Add the sample features and charges that are not there yet; return how many were added."""
    added = 0
    for name, description, tags in FEATURES:
        if not await features.exists(tx, Feature.name == name):
            await features.create(tx, Feature(name=name, description=description, tags=tags))
            added += 1
    mine = [user.email for user in sample_users()]
    living = await tx.all(
        select(CreditBalance.user_id)
        .join(User, User.id == CreditBalance.user_id)
        .where(User.email.in_(mine))
        .order_by(User.email)
    )
    operations = (OperationType.AI_TEXT_CHAT, OperationType.AI_IMAGE_GENERATION)
    charges = [
        Charge(user_id=user_id, operation=operation, key=f"sample-{number}")
        for user_id in living
        for number, operation in enumerate(operations)
    ]
    answers = await deduct_many(tx, charges)
    return added + sum(isinstance(one, Deducted) and not one.replayed for one in answers)
