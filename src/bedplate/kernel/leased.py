"""Leased: the columns of a table whose rows are work, and the rules that keep them true.

Whoever works on a row holds a lease on it: an epoch that only rises, a holder and an expiry. The
rules live in the database, so that raw SQL cannot break them either: a key that must run alone has
one lease at a time by a unique index, whatever races there are.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel import clock, lines
from bedplate.kernel.columns import Identified
from bedplate.kernel.types import document, moment

ATTEMPTS_MAX = 50
"""The most attempts a row may be given, and how many errors it keeps."""

KEY_CHARACTERS_MAX = 255
"""The longest serial_key or unique_key."""

PRIORITY_MAX = 20
"""The highest priority; the lowest is as far below zero. A claim looks so many minutes ahead."""

TURN = "((run_at AT TIME ZONE 'UTC') - priority * interval '1 minute')"
"""When a row's turn comes: one step of priority is worth a minute of waiting.

It does not change while a row waits, so an index holds the order, and whatever waits long enough
overtakes what is more urgent: low priority is not starved.
"""


WAITS = "pg_catalog.texteq(state, 'PENDING')"
"""That a row is PENDING, as the claim and its index say it.

What the planner knows of a queue is always old: it would expect next to no such rows, and rather
sort all there are than follow the index. Of a function call it expects a third.
"""


UNIQUE_IN = "(state IN ('PENDING', 'RUNNING') OR unique_kept AND state = 'SUCCEEDED')"
"""The states in which a row keeps others of its unique_key away, as it chose."""


class State(enum.StrEnum):
    """How far the work is; the last three are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Leased(Identified, kw_only=True, repr=False, eq=False):
    """A row that is work: state, turn, keys, attempts, and the lease of whoever works on it.

    `run_at` is the earliest start. Of rows with one `serial_key` one runs at a time, in the order
    of their ids; of rows with one `unique_key` there is one that waits, runs or,
    where it is `unique_kept`, SUCCEEDED.
    """

    state: Mapped[str] = mapped_column(
        sa.Text, init=False, sort_order=800, server_default="PENDING"
    )
    priority: Mapped[int] = mapped_column(
        sa.SmallInteger, sort_order=801, default=0, server_default=sa.text("0")
    )
    run_at: Mapped[datetime] = mapped_column(
        moment(), sort_order=802, default_factory=clock.now, server_default=clock.sql_now()
    )
    attempts: Mapped[int] = mapped_column(
        sa.SmallInteger, init=False, sort_order=803, server_default=sa.text("0")
    )
    max_attempts: Mapped[int] = mapped_column(
        sa.SmallInteger, sort_order=804, default=10, server_default=sa.text("10")
    )
    serial_key: Mapped[str | None] = mapped_column(sa.Text, sort_order=805, default=None)
    unique_key: Mapped[str | None] = mapped_column(sa.Text, sort_order=806, default=None)
    epoch: Mapped[int] = mapped_column(
        sa.BigInteger, init=False, sort_order=807, server_default=sa.text("0")
    )
    holder: Mapped[str | None] = mapped_column(sa.Text, init=False, sort_order=808, default=None)
    expires_at: Mapped[datetime | None] = mapped_column(
        moment(), init=False, sort_order=809, default=None
    )
    cancel_requested_at: Mapped[datetime | None] = mapped_column(
        moment(), init=False, sort_order=810, default=None
    )
    finished_at: Mapped[datetime | None] = mapped_column(
        moment(), init=False, sort_order=811, default=None
    )
    errors: Mapped[list[dict[str, Any]]] = mapped_column(
        document(), init=False, sort_order=812, server_default="[]"
    )
    unique_kept: Mapped[bool] = mapped_column(
        sa.Boolean, sort_order=813, default=False, server_default=sa.false()
    )


def leased_columns() -> list[sa.Column[Any]]:
    """Return the columns that `Leased` declares, for op.create_table in a revision."""
    at = sa.DateTime(timezone=True)

    def required(name: str, type_: Any, default: str, comment: str) -> sa.Column[Any]:
        server_default = sa.text(default)
        return sa.Column(
            name, type_, nullable=False, server_default=server_default, comment=comment
        )

    return [
        required("state", sa.Text(), "'PENDING'", "How far it is; the rule names the states."),
        required("priority", sa.SmallInteger(), "0", "One step is worth a minute of waiting."),
        required("run_at", at, "bedplate.now()", "Not started before."),
        required("attempts", sa.SmallInteger(), "0", "How often it was started."),
        required("max_attempts", sa.SmallInteger(), "10", "FAILED once so many did not succeed."),
        sa.Column("serial_key", sa.Text, comment="One at a time of those that share it, in order."),
        sa.Column("unique_key", sa.Text, comment="One waits or runs of those that share it."),
        required("epoch", sa.BigInteger(), "0", "Rises with each lease; tells a stale holder."),
        sa.Column("holder", sa.Text, comment="Who works on it: host, process and a random part."),
        sa.Column("expires_at", at, comment="Until when the lease holds without a heartbeat."),
        sa.Column("cancel_requested_at", at, comment="When its cancellation was asked for."),
        sa.Column("finished_at", at, comment="When it reached a final state."),
        required("errors", JSONB(), "'[]'", "What went wrong, attempt by attempt; no values."),
        required("unique_kept", sa.Boolean(), "false", "Unique once it SUCCEEDED, too."),
    ]


def leased_args(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    """Return what `leased_rules` adds to a table, for a module's model to declare."""
    rules = [sa.CheckConstraint(condition, name=rule) for rule, condition in _RULES.items()]
    indexes = [
        sa.Index(
            f"{kind}_{table}_{rest}",
            *(sa.text(column) for column in columns.split(", ")),
            unique=kind == "uq",
            postgresql_where=sa.text(condition),
        )
        for kind, rest, columns, condition in _INDEXES
    ]
    return (*rules, *indexes)


def leased_rules(table: str) -> None:
    """Add the rules and indexes that leases rely on to a table of the revision's schema.

    The table has `id uuid` and `leased_columns()`. They go away with the table.
    """
    context = lines.current()
    place = sql.Identifier(context.schema, table).as_string()

    def name(kind: str, rest: str) -> str:
        return sql.Identifier(f"{kind}_{table}_{rest}").as_string()

    for rule, condition in _RULES.items():
        context.execute(
            f"ALTER TABLE {place} ADD CONSTRAINT {name('ck', rule)} CHECK ({condition})"
        )
    for kind, rest, columns, condition in _INDEXES:
        unique = "UNIQUE " if kind == "uq" else ""
        context.execute(
            f"CREATE {unique}INDEX {name(kind, rest)} ON {place} ({columns}) WHERE {condition}"
        )
    # Every row is changed at least twice: the usual tenth of a large table would be far too late.
    context.execute(
        f"ALTER TABLE {place} SET (autovacuum_vacuum_scale_factor = 0.02, "
        "autovacuum_analyze_scale_factor = 0.02)"
    )


_RULES = {
    "state": "state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
    "finished": "(state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (finished_at IS NOT NULL)",
    "running": (
        "(state = 'RUNNING') = (holder IS NOT NULL) AND "
        "(state = 'RUNNING') = (expires_at IS NOT NULL)"
    ),
    "attempts": f"attempts >= 0 AND max_attempts BETWEEN 1 AND {ATTEMPTS_MAX}",
    "priority": f"priority BETWEEN -{PRIORITY_MAX} AND {PRIORITY_MAX}",
    "keys": (
        f"char_length(serial_key) <= {KEY_CHARACTERS_MAX} AND "
        f"char_length(unique_key) <= {KEY_CHARACTERS_MAX}"
    ),
    "errors": "jsonb_typeof(errors) = 'array'",
}
_INDEXES = (
    ("ix", "turn", f"{TURN}, id", WAITS),
    ("ix", "expires_at", "expires_at", "state = 'RUNNING'"),
    ("ix", "finished_at", "finished_at", "finished_at IS NOT NULL"),
    ("ix", "serial_order", "serial_key, id", "state = 'PENDING' AND serial_key IS NOT NULL"),
    ("uq", "serial_key", "serial_key", "state = 'RUNNING'"),
    ("uq", "unique_key", "unique_key", UNIQUE_IN),
)
