"""The tables of a mining host that accounting reads (plan B names them and gives no fields)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel import clock, ids
from bedplate.kernel.columns import Timestamped
from bedplate.kernel.model import GUARDED, Model
from bedplate.kernel.types import BoundKey, document, moment, money, user_key
from bedplate.modules.auth import User

SCHEMA = "mining"

# To PostgreSQL NaN is more than any number, so an upper bound is what keeps it out.
AMOUNT_MAX = "9999999999.99"
RATE_MAX = "99999999.99"


def _key(table: str) -> Any:
    """A key of the project's type: every one of these tables may be a host's."""
    return mapped_column(
        BoundKey(table),
        primary_key=True,
        sort_order=-100,
        default_factory=ids.new,
        comment="Key (UUIDv7).",
    )


class Space(Timestamped, Model):
    """A room in which miners stand."""

    __tablename__ = "spaces"

    name: Mapped[str] = mapped_column(comment="What the space is called.")
    id: Mapped[UUID] = _key("spaces")
    location: Mapped[str | None] = mapped_column(default=None, comment="Where it is.")

    __table_args__: Any = (
        UniqueConstraint("name", name="uq_spaces_name"),
        {"schema": SCHEMA, "comment": "Rooms in which miners stand."},
    )


class Hardware(Timestamped, Model):
    """A kind of machine."""

    __tablename__ = "hardware"

    name: Mapped[str] = mapped_column(comment="The maker's name of the machine.")
    hash_rate_ths: Mapped[Decimal] = mapped_column(
        money(10, 2), comment="Hash rate in terahashes per second."
    )
    power_watts: Mapped[int] = mapped_column(comment="Power it draws, in watts.")
    id: Mapped[UUID] = _key("hardware")

    __table_args__: Any = (
        UniqueConstraint("name", name="uq_hardware_name"),
        CheckConstraint(f"hash_rate_ths BETWEEN 0.01 AND {RATE_MAX}", name="hash_rate_ths"),
        CheckConstraint("power_watts > 0", name="power_watts"),
        {"schema": SCHEMA, "comment": "Kinds of machines."},
    )


class Miner(Timestamped, Model):
    """One machine that a customer has running with us; what invoices count.

    A project may bind it to a host's table; only `user_id` is needed then.
    """

    __tablename__ = "miners"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="Whose it is."
    )
    id: Mapped[UUID] = _key("miners")
    name: Mapped[str | None] = mapped_column(default=None, comment="What its owner calls it.")
    status: Mapped[str] = mapped_column(
        default="ACTIVE", server_default="ACTIVE", comment="ACTIVE, MAINTENANCE or RETIRED."
    )
    hardware_id: Mapped[UUID | None] = mapped_column(
        BoundKey("hardware"),
        ForeignKey("mining.hardware.id", ondelete="RESTRICT"),
        default=None,
        comment="Its kind.",
    )
    space_id: Mapped[UUID | None] = mapped_column(
        BoundKey("spaces"),
        ForeignKey("mining.spaces.id", ondelete="RESTRICT"),
        default=None,
        comment="Its place.",
    )

    user: Mapped[User] = relationship(init=False, lazy="raise")

    __table_args__: Any = (
        CheckConstraint("status IN ('ACTIVE', 'MAINTENANCE', 'RETIRED')", name="status"),
        Index("ix_miners_user_id", "user_id"),
        Index("ix_miners_hardware_id", "hardware_id"),
        Index("ix_miners_space_id", "space_id"),
        {"schema": SCHEMA, "comment": "Machines of customers.", "info": {GUARDED: "user_id"}},
    )


class MinerRateHistory(Model):
    """What a miner earned per day from a date on."""

    __tablename__ = "miner_rate_history"

    miner_id: Mapped[UUID] = mapped_column(
        BoundKey("miners"),
        ForeignKey("mining.miners.id", ondelete="CASCADE"),
        comment="Whose rate it is.",
    )
    rate: Mapped[Decimal] = mapped_column(money(10, 2), comment="Rate per day.")
    effective_from: Mapped[date] = mapped_column(comment="The first day of the rate.")
    id: Mapped[UUID] = _key("miner_rate_history")
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When the row was made."
    )

    __table_args__: Any = (
        UniqueConstraint(
            "miner_id", "effective_from", name="uq_miner_rate_history_miner_id_effective_from"
        ),
        CheckConstraint(f"rate BETWEEN 0 AND {RATE_MAX}", name="rate"),
        {"schema": SCHEMA, "comment": "Rates of miners over time."},
    )


class CostPayment(Model):
    """Money that came in from a customer; accounting allocates it to invoices and never changes it.

    A project may bind it to a host's table; `user_id` and `amount` are needed then.
    """

    __tablename__ = "cost_payments"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="Who paid."
    )
    amount: Mapped[Decimal] = mapped_column(money(), comment="What was paid.")
    id: Mapped[UUID] = _key("cost_payments")
    reference: Mapped[str | None] = mapped_column(
        default=None, comment="What the bank or the customer wrote on it."
    )
    paid_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was paid."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When the row was made."
    )

    user: Mapped[User] = relationship(init=False, lazy="raise")

    __table_args__: Any = (
        CheckConstraint(f"amount BETWEEN 0.01 AND {AMOUNT_MAX}", name="amount"),
        Index("ix_cost_payments_user_id", "user_id", "paid_at"),
        {"schema": SCHEMA, "comment": "Money that came in.", "info": {GUARDED: "user_id"}},
    )


class UserActivity(Model):
    """What a customer did; accounting has no business with it."""

    __tablename__ = "user_activities"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="Who did it."
    )
    kind: Mapped[str] = mapped_column(comment="What was done, such as LOGIN.")
    id: Mapped[UUID] = _key("user_activities")
    details: Mapped[dict[str, Any] | None] = mapped_column(
        document(), default=None, comment="What else is known of it."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was done."
    )

    __table_args__: Any = (
        Index("ix_user_activities_user_id", "user_id", "created_at"),
        {"schema": SCHEMA, "comment": "What customers did.", "info": {GUARDED: "user_id"}},
    )
