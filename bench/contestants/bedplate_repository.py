"""Bedplate as a project gets it: repositories on a Database, timing and error mapping on."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel.columns import Identified
from bedplate.kernel.database import Database
from bedplate.kernel.model import Model
from bedplate.kernel.pagination import Position, encode, fingerprint, keys_of, written
from bedplate.kernel.registry import Registry
from bedplate.kernel.relations import Include
from bedplate.kernel.repository import Repository
from bedplate.kernel.settings import Settings
from bedplate.kernel.types import document, enum_type, moment, money
from bedplate.project import database
from bench.contestant import LAST_ENTRIES, NO_VARIANTS, PAGE_ROWS, Family, Mark

SCHEMA = "bench"
IN_SCHEMA = {"schema": SCHEMA}


class AccountKind(enum.Enum):
    """What an account is held by."""

    PERSON = "PERSON"
    COMPANY = "COMPANY"
    PARTNER = "PARTNER"


class Account(Identified, Model):
    """An account."""

    __tablename__ = "account"
    __table_args__ = IN_SCHEMA

    email: Mapped[str]
    name: Mapped[str | None]
    is_active: Mapped[bool]
    kind: Mapped[AccountKind] = mapped_column(enum_type(AccountKind, SCHEMA))
    balance: Mapped[Decimal] = mapped_column(money())
    created_at: Mapped[datetime] = mapped_column(moment())
    updated_at: Mapped[datetime] = mapped_column(moment())
    profile: Mapped[Profile] = relationship(init=False, lazy="raise")
    entries: Mapped[list[Entry]] = relationship(init=False, lazy="raise")


class Profile(Identified, Model):
    """The one profile of an account."""

    __tablename__ = "profile"
    __table_args__ = IN_SCHEMA

    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id))
    bio: Mapped[str]
    locale: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(document())


class Entry(Identified, Model):
    """An entry of an account."""

    __tablename__ = "entry"
    __table_args__ = IN_SCHEMA

    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id))
    amount: Mapped[Decimal] = mapped_column(money())
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(moment())


class Event(Identified, Model):
    """An event."""

    __tablename__ = "event"
    __table_args__ = IN_SCHEMA

    tenant: Mapped[UUID]
    occurred_at: Mapped[datetime] = mapped_column(moment())
    payload: Mapped[str]


class Reading(Identified, Model):
    """A row of the bulk load."""

    __tablename__ = "reading"
    __table_args__ = IN_SCHEMA

    account_id: Mapped[UUID]
    recorded_at: Mapped[datetime] = mapped_column(moment())
    kind: Mapped[AccountKind] = mapped_column(enum_type(AccountKind, SCHEMA))
    amount: Mapped[Decimal] = mapped_column(money())
    note: Mapped[str | None]


ACCOUNTS = Repository(Account)
EVENTS = Repository(Event)
READINGS = Repository(Reading)
NEWEST = (Event.occurred_at.desc(), Event.id.desc())
ALONG = (
    Account.profile,
    Include(Account.entries, order=(Entry.created_at.desc(), Entry.id.desc()), limit=LAST_ENTRIES),
)
READING_FIELDS = (
    Reading.account_id, Reading.recorded_at, Reading.kind, Reading.amount, Reading.note,
)  # fmt: skip


class BedplateRepository:
    """Single statements on the database, as a request handler would run them."""

    blocking = False
    variants = NO_VARIANTS
    _db: Database

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Open a database with the settings a project has, and a pool of the given size."""
        settings = Settings(folder=Path.cwd(), modules=(), pool_size_max=connections)
        self._db = database(settings, Registry(()), url)
        await self._db.open()
        self._cursors: dict[Mark, str] = {}
        return {"bedplate": version("bedplate"), "psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the pool."""
        await self._db.close()

    async def get(self, key: UUID) -> Account:
        """Read one account."""
        return await ACCOUNTS.get(self._db, key)

    async def relations(self, key: UUID) -> Account:
        """Read one account with its relations, in one statement."""
        return await ACCOUNTS.get(self._db, key, include=ALONG)

    def unfold(self, found: Account) -> Family:
        """Take the account apart."""
        return Family(found, found.profile, found.entries)

    async def page_first(self) -> list[Event]:
        """Read the newest events."""
        return (await EVENTS.page(self._db, order=NEWEST, size=PAGE_ROWS)).items

    async def page_deep(self, mark: Mark) -> list[Event]:
        """Read the page after the mark by its cursor, as the page before would have given it."""
        cursor = self._cursors.get(mark)
        if cursor is None:
            keys = keys_of(NEWEST, (Event.id,))
            position = Position((mark.occurred_at, mark.id), backward=False)
            text, values = written(select(Event))
            bound_to = fingerprint(text, values, keys, deleted=False)
            cursor = self._cursors[mark] = encode(position, bound_to)
        return (await EVENTS.page(self._db, order=NEWEST, size=PAGE_ROWS, at=cursor)).items

    async def create(self, fields: dict[str, Any]) -> Account:
        """Create one account."""
        values: dict[str, Any] = {**fields, "kind": AccountKind[fields["kind"]]}
        return await ACCOUNTS.create(self._db, Account(**values))

    def stage(self, readings: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        """Make tuples without ids; ids and validation are part of the work."""
        return [
            tuple((reading | {"kind": AccountKind[reading["kind"]]}).values())
            for reading in readings
        ]

    async def bulk(self, staged: list[tuple[Any, ...]]) -> None:
        """Load the tuples."""
        await READINGS.load(self._db, READING_FIELDS, staged)


def contestant() -> BedplateRepository:
    """Return the contestant of this file."""
    return BedplateRepository()
