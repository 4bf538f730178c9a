"""SQLAlchemy's async session charging credits by hand: lock, key, grants, balance, history."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import sqlalchemy
from sqlalchemy import DateTime, Enum, FetchedValue, ForeignKey, or_, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from bench.credits_contestant import OPERATION, Charged, Offer
from bench.keys import time_ordered_key

IN_SCHEMA = {"schema": "bench"}


class Operation(enum.Enum):
    """What credits are spent on, as far as the bench spends any."""

    AI_TEXT_CHAT = "AI_TEXT_CHAT"


class Table(DeclarativeBase):
    """The declarative base of this file."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        Operation: Enum(Operation, name="operation_type", schema="credits"),
    }


class CreditBalance(Table):
    """An account."""

    __tablename__ = "credit_balances"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    credits_remaining: Mapped[int]
    credits_held: Mapped[int]
    last_synced_at: Mapped[datetime]


class CreditGrant(Table):
    """Credits that came into an account."""

    __tablename__ = "credit_grants"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    credit_balance_id: Mapped[UUID] = mapped_column(ForeignKey(CreditBalance.id))
    remaining: Mapped[int]
    held: Mapped[int]
    priority: Mapped[int]
    expires_at: Mapped[datetime | None]
    is_open: Mapped[bool] = mapped_column(FetchedValue())
    created_at: Mapped[datetime]


class UsageHistory(Table):
    """One charge."""

    __tablename__ = "usage_history"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    user_id: Mapped[UUID]
    credit_balance_id: Mapped[UUID] = mapped_column(ForeignKey(CreditBalance.id))
    operation_type: Mapped[Operation]
    credits_used: Mapped[int]
    action: Mapped[str]
    key: Mapped[str]
    balance_after: Mapped[int]
    available_after: Mapped[int]
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey(CreditGrant.id))
    timestamp: Mapped[datetime]
    allocations: Mapped[list[UsageAllocation]] = relationship()


class UsageAllocation(Table):
    """Which grant paid, where no single one did."""

    __tablename__ = "usage_allocations"
    __table_args__ = IN_SCHEMA

    usage_id: Mapped[UUID] = mapped_column(ForeignKey(UsageHistory.id), primary_key=True)
    grant_id: Mapped[UUID] = mapped_column(ForeignKey(CreditGrant.id), primary_key=True)
    amount: Mapped[int]


class CreditsSqlalchemy:
    """A session per charge, its unit of work writing everything at the commit."""

    blocking = False
    _engine: AsyncEngine
    _session: async_sessionmaker[AsyncSession]

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Make an engine with a pool of the given size, and its session maker."""
        address = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self._engine = create_async_engine(address, pool_size=connections, max_overflow=0)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)
        return {"sqlalchemy": sqlalchemy.__version__, "psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the engine's pool."""
        await self._engine.dispose()

    async def deduct(self, user: UUID, key: str, amount: int = 1) -> Charged:
        """Charge one account in one transaction."""
        async with self._session() as session, session.begin():
            balance = (
                await session.scalars(
                    select(CreditBalance).where(CreditBalance.user_id == user).with_for_update()
                )
            ).one()
            known = await session.scalar(
                select(UsageHistory).where(
                    UsageHistory.credit_balance_id == balance.id,
                    UsageHistory.action == "deduct",
                    UsageHistory.key == key,
                )
            )
            if known is not None:
                return known.credits_used, known.balance_after
            available = balance.credits_remaining - balance.credits_held - amount
            if available < 0:
                return None
            now = datetime.now(UTC)
            paid = await _burn(session, balance, amount, now)
            usage = UsageHistory(
                user_id=user,
                credit_balance_id=balance.id,
                operation_type=Operation[OPERATION],
                credits_used=amount,
                action="deduct",
                key=key,
                balance_after=balance.credits_remaining - amount,
                available_after=available,
                grant_id=paid[0].grant_id if len(paid) == 1 else None,
                timestamp=now,
                allocations=paid if len(paid) > 1 else [],
            )
            session.add(usage)
            balance.credits_remaining -= amount
            balance.last_synced_at = now
            return amount, balance.credits_remaining

    def further(self) -> Mapping[str, Offer]:
        """Offer nothing else."""
        return {}


async def _burn(
    session: AsyncSession, balance: CreditBalance, amount: int, now: datetime
) -> list[UsageAllocation]:
    grants = await session.scalars(
        select(CreditGrant)
        .where(
            CreditGrant.credit_balance_id == balance.id,
            CreditGrant.is_open,
            CreditGrant.remaining > CreditGrant.held,
            or_(CreditGrant.expires_at.is_(None), CreditGrant.expires_at > now),
        )
        .order_by(
            CreditGrant.priority,
            CreditGrant.expires_at,
            CreditGrant.created_at,
            CreditGrant.id,
        )
    )
    paid = list[UsageAllocation]()
    for grant in grants:
        taken = min(amount, grant.remaining - grant.held)
        grant.remaining -= taken
        paid.append(UsageAllocation(grant_id=grant.id, amount=taken))
        amount -= taken
        if amount == 0:
            return paid
    raise AssertionError("the grants do not cover the balance")


def contestant() -> CreditsSqlalchemy:
    """Return the contestant of this file."""
    return CreditsSqlalchemy()
