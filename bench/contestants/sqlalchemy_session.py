"""SQLAlchemy's async session on psycopg: a session per operation, as applications do."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import sqlalchemy
from sqlalchemy import DateTime, Enum, ForeignKey, Numeric, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

from bench.contestant import LAST_ENTRIES, NO_VARIANTS, PAGE_ROWS, Family, Mark
from bench.keys import time_ordered_key

IN_SCHEMA = {"schema": "bench"}


class AccountKind(enum.Enum):
    """What an account is held by."""

    PERSON = "PERSON"
    COMPANY = "COMPANY"
    PARTNER = "PARTNER"


class Table(DeclarativeBase):
    """The declarative base of this file."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        Decimal: Numeric(12, 2),
        AccountKind: Enum(AccountKind, name="account_kind", schema="bench"),
        dict[str, Any]: JSONB,
    }


class Account(Table):
    """An account."""

    __tablename__ = "account"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    email: Mapped[str]
    name: Mapped[str | None]
    is_active: Mapped[bool]
    kind: Mapped[AccountKind]
    balance: Mapped[Decimal]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    profile: Mapped[Profile] = relationship(back_populates="account")


class Profile(Table):
    """The one profile of an account."""

    __tablename__ = "profile"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id))
    bio: Mapped[str]
    locale: Mapped[str]
    settings: Mapped[dict[str, Any]]
    account: Mapped[Account] = relationship(back_populates="profile")


class Entry(Table):
    """An entry of an account."""

    __tablename__ = "entry"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id))
    amount: Mapped[Decimal]
    note: Mapped[str | None]
    created_at: Mapped[datetime]


class Event(Table):
    """An event."""

    __tablename__ = "event"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    tenant: Mapped[UUID]
    occurred_at: Mapped[datetime]
    payload: Mapped[str]


class Reading(Table):
    """A row of the bulk load."""

    __tablename__ = "reading"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    account_id: Mapped[UUID]
    recorded_at: Mapped[datetime]
    kind: Mapped[AccountKind]
    amount: Mapped[Decimal]
    note: Mapped[str | None]


_NEWEST = select(Event).order_by(Event.occurred_at.desc(), Event.id.desc()).limit(PAGE_ROWS)


class SqlalchemySession:
    """The ORM as its documentation teaches it."""

    blocking = False
    variants = NO_VARIANTS
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

    async def get(self, key: UUID) -> Account:
        """Read one account."""
        async with self._session() as session:
            return await session.get_one(Account, key)

    async def relations(self, key: UUID) -> Family:
        """Read an account joined to its profile, then its last entries."""
        async with self._session() as session:
            account = await session.get_one(Account, key, options=[joinedload(Account.profile)])
            entries = await session.scalars(
                select(Entry)
                .where(Entry.account_id == key)
                .order_by(Entry.created_at.desc(), Entry.id.desc())
                .limit(LAST_ENTRIES)
            )
            return Family(account, account.profile, entries.all())

    def unfold(self, found: Family) -> Family:
        """Return the family as it is."""
        return found

    async def page_first(self) -> list[Event]:
        """Read the newest events."""
        async with self._session() as session:
            return list(await session.scalars(_NEWEST))

    async def page_deep(self, mark: Mark) -> list[Event]:
        """Read the events at depth by OFFSET."""
        async with self._session() as session:
            return list(await session.scalars(_NEWEST.offset(mark.offset)))

    async def create(self, fields: dict[str, Any]) -> Account:
        """Add one account and commit."""
        async with self._session() as session:
            account = Account(**fields | {"kind": AccountKind(fields["kind"])})
            session.add(account)
            await session.commit()
            return account

    def stage(self, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give the kinds their enum."""
        return [reading | {"kind": AccountKind(reading["kind"])} for reading in readings]

    async def bulk(self, staged: list[dict[str, Any]]) -> None:
        """Insert by the ORM's bulk INSERT, in one transaction."""
        async with self._session() as session:
            await session.execute(insert(Reading), staged)
            await session.commit()


def contestant() -> SqlalchemySession:
    """Return the contestant of this file."""
    return SqlalchemySession()
