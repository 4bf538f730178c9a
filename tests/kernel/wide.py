"""A table with the column types that `tests.shop` leaves out, made beside the lines."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import JSON, REAL, DateTime, ForeignKey, Interval, Numeric, SmallInteger, Text, Time
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel.columns import Identified
from bedplate.kernel.model import Model
from bedplate.kernel.repository import Repository
from bedplate.kernel.types import enum_type, moment
from tests.shop import Kind
from tests.world import World

SQL = """
CREATE SCHEMA wide;
GRANT USAGE ON SCHEMA wide TO PUBLIC;
CREATE TABLE wide.wides (
    id uuid PRIMARY KEY, parent_id uuid REFERENCES wide.wides,
    exact numeric, half real, tiny smallint, plain json, naive timestamp, hour time,
    kinds shop.kind[], moments timestamptz[], spans interval[], grid text[]
);
GRANT SELECT, INSERT, UPDATE, DELETE ON wide.wides TO PUBLIC;
"""


class Wide(Identified, Model):
    """Numbers of any size, moments without a zone, arrays of what JSON cannot hold."""

    __tablename__ = "wides"
    __table_args__ = ({"schema": "wide"},)

    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("wide.wides.id"), default=None)
    exact: Mapped[Decimal | None] = mapped_column(Numeric, default=None)
    half: Mapped[float | None] = mapped_column(REAL, default=None)
    tiny: Mapped[int | None] = mapped_column(SmallInteger, default=None)
    plain: Mapped[Any | None] = mapped_column(JSON(none_as_null=True), default=None)
    naive: Mapped[datetime | None] = mapped_column(DateTime(), default=None)
    hour: Mapped[time | None] = mapped_column(Time, default=None)
    kinds: Mapped[list[Kind | None] | None] = mapped_column(
        ARRAY(enum_type(Kind, "shop")), default=None
    )
    moments: Mapped[list[datetime | None] | None] = mapped_column(ARRAY(moment()), default=None)
    spans: Mapped[list[timedelta | None] | None] = mapped_column(ARRAY(Interval), default=None)
    grid: Mapped[list[Any] | None] = mapped_column(ARRAY(Text, dimensions=2), default=None)

    children: Mapped[list[Wide]] = relationship(init=False, lazy="raise")


wides = Repository(Wide)


def make_table(world: World) -> None:
    """Make the table in the world's database, as its owner."""
    with psycopg.connect(world.clone.owner_url) as connection:
        connection.execute(SQL)
