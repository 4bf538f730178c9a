"""Audit logs: who changed what, when and from where.

Revisions make a module's log and have tables captured (`create_log`, `capture`); a module declares
it as a model (`AuditLogged`), actions write rows of their own to it (`record`), and
`entries`, `export` and `counts` read `bedplate.audit_log`, the logs of all enabled modules.

Who acts, on whose request, comes from the context, in a transaction and for single statements on
`db` alike. Where nobody said so, an entry says SYSTEM; `counts` tells how many do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from bedplate.kernel import clock, ids
from bedplate.kernel.capture import (
    CAPTURED,
    COMMENTS,
    LOG_TABLE,
    REDACTED,
    SAID,
    TABLE_COMMENT,
    capture,
    create_log,
    drop_log,
    release,
)
from bedplate.kernel.database import Writer
from bedplate.kernel.errors import ActorUnknown, ForeignKeyViolation, UsageError
from bedplate.kernel.handle import Handle
from bedplate.kernel.model import Model
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.repository import Repository
from bedplate.kernel.types import TransactionNumber, document, moment, user_key

__all__ = [
    "CAPTURED",
    "LOG_TABLE",
    "REDACTED",
    "AuditLogged",
    "Counts",
    "Entry",
    "Wanted",
    "capture",
    "counts",
    "create_log",
    "drop_log",
    "entries",
    "export",
    "log_of",
    "record",
    "release",
    "table_args",
]

ENTRIES_MAX = 10_000
"""How many entries one call of `entries` returns at most; `export` has no such limit."""


class AuditLogged(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """The columns of a module's audit log; the model adds `action`, of its own enum.

        class AuditLog(AuditLogged, Model):
            __tablename__ = LOG_TABLE
            action: Mapped[AuditAction] = mapped_column(enum_type(AuditAction, SCHEMA), comment=…)
            __table_args__ = table_args(SCHEMA, users="auth.users.id")

    Who, when and from where are no arguments: the database fills them in.
    """

    id: Mapped[UUID] = mapped_column(
        Uuid,
        primary_key=True,
        sort_order=-100,
        default_factory=ids.new,
        server_default=text("bedplate.uuid7()"),
        comment=COMMENTS["id"],
    )
    entity_type: Mapped[str] = mapped_column(Text, sort_order=1, comment=COMMENTS["entity_type"])
    entity_id: Mapped[str] = mapped_column(Text, sort_order=2, comment=COMMENTS["entity_id"])
    user_id: Mapped[UUID | None] = mapped_column(
        user_key(),
        init=False,
        sort_order=3,
        server_default=text("bedplate.actor_key(NULL::uuid)"),
        comment=COMMENTS["user_id"],
    )
    changes: Mapped[dict[str, Any] | None] = mapped_column(
        document(), default=None, sort_order=4, comment=COMMENTS["changes"]
    )
    description: Mapped[str] = mapped_column(Text, sort_order=5, comment=COMMENTS["description"])
    ip_address: Mapped[str | None] = mapped_column(
        Text,
        init=False,
        sort_order=6,
        server_default=text("bedplate.context('ip')"),
        comment=COMMENTS["ip_address"],
    )
    user_agent: Mapped[str | None] = mapped_column(
        Text,
        init=False,
        sort_order=7,
        server_default=text("bedplate.context('user_agent')"),
        comment=COMMENTS["user_agent"],
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(),
        init=False,
        sort_order=8,
        server_default=clock.sql_now(),
        comment=COMMENTS["created_at"],
    )
    actor_type: Mapped[str] = mapped_column(
        Text,
        init=False,
        sort_order=9,
        server_default=text(
            "CASE WHEN bedplate.context('actor') IS NULL THEN 'SYSTEM' ELSE 'USER' END"
        ),
        comment=COMMENTS["actor_type"],
    )
    request_id: Mapped[str | None] = mapped_column(
        Text,
        init=False,
        sort_order=10,
        server_default=text("bedplate.context('request_id')"),
        comment=COMMENTS["request_id"],
    )
    transaction_id: Mapped[int] = mapped_column(
        TransactionNumber(),
        init=False,
        sort_order=11,
        server_default=text("pg_catalog.pg_current_xact_id()"),
        comment=COMMENTS["transaction_id"],
    )


def table_args(schema: str, *, users: str) -> Any:
    """Return a log's `__table_args__`; `users` is the users table's key (auth.users.id)."""
    return (
        CheckConstraint(
            "(actor_type = 'USER' AND user_id IS NOT NULL)"
            " OR (actor_type = 'SYSTEM' AND user_id IS NULL)",
            name="actor",
        ),
        ForeignKeyConstraint(["user_id"], [users], ondelete="RESTRICT"),
        Index(None, "entity_id", "created_at"),
        *(Index(None, name) for name in ("entity_type", "user_id", "created_at", "action")),
        {"schema": schema, "comment": TABLE_COMMENT},
    )


L = TypeVar("L", bound=Model)


async def record(db: Writer, log: L) -> L:
    """Write what was done to a module's log, in the same transaction as the doing itself.

    `log` is the module's own model: `record(tx, AuditLog(action=…, entity_type="invoices",
    entity_id=str(invoice.id), description=…, changes={"before": …, "after": …}))`. Actor, request
    and moment are the transaction's, whatever `log` says of them. Raises ActorUnknown when the
    actor is none of the users; the guarded role may not record.
    """
    # Any, because one checker holds that a Model can never be an AuditLogged, and another that it
    # always is: which, depends on where it found SQLAlchemy.
    entry: Any = log
    model = type(log)
    if not isinstance(entry, AuditLogged):
        raise UsageError(f"{model.__name__} is no audit log.", "Derive it from AuditLogged.")
    said = model(**{name: getattr(log, name) for name in SAID})
    try:
        written: L = await _repository(model).create(db, said)
    except ForeignKeyViolation:
        raise ActorUnknown("The acting user is not among the users.") from None
    return written


@cache
def _repository(model: type[L]) -> Repository[L]:
    return Repository(model)


def log_of(manifest: ModuleManifest) -> type[Model] | None:
    """Return the model of a module's audit log, or None where it has none."""
    return next((model for model in manifest.models if issubclass(model, AuditLogged)), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of any module's audit log, as `bedplate.audit_log` shows it."""

    module: str
    id: UUID
    action: str
    entity_type: str
    entity_id: str
    user_id: str | None
    changes: dict[str, Any] | None
    description: str
    ip_address: str | None
    user_agent: str | None
    created_at: datetime
    actor_type: str
    request_id: str | None
    transaction_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries: those that fulfil all that is said. `since` is included, `until` is not."""

    entity_type: str | None = None
    entity_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many entries there are, and how many of them name no user."""

    entries: int
    by_system: int


_TYPES: dict[str, Any] = {
    "id": Uuid(),
    "changes": document(),
    "created_at": moment(),
    "transaction_id": TransactionNumber(),
}
VIEW = Table(
    "audit_log",
    MetaData(),
    *(Column(each.name, _TYPES.get(each.name, Text())) for each in fields(Entry)),
    schema="bedplate",
)
_SHOWN: Sequence[Column[Any]] = tuple(VIEW.c)


async def entries(db: Handle, wanted: Wanted = Wanted(), *, limit: int = 50) -> list[Entry]:
    """Return the newest entries, newest first; at most ENTRIES_MAX. One round trip.

    The history of one entity (`entity_id`) comes from an index, however long the log.
    """
    if not 1 <= limit <= ENTRIES_MAX:
        raise UsageError(f"The limit {limit} is not one.", f"Ask for 1 to {ENTRIES_MAX}.")
    return [Entry(*row) for row in await db.all(newest(wanted, limit))]


async def export(db: Handle, wanted: Wanted = Wanted()) -> AsyncIterator[Entry]:
    """Yield every entry, oldest first, as it is wanted; at most 1,000 are held in memory."""
    oldest = _narrowed(wanted).order_by(VIEW.c.created_at, VIEW.c.id)
    async for row in db.stream(oldest):
        yield Entry(*row)


async def counts(db: Handle, wanted: Wanted = Wanted()) -> Counts:
    """Count entries, and those by SYSTEM: nobody was known to act. Reads all that is counted."""
    by_user = func.count(VIEW.c.user_id)
    rows: Any = await db.one(_narrowed(wanted, func.count(), func.count() - by_user))
    return Counts(*rows)


def newest(wanted: Wanted, limit: int) -> Select[Any]:
    """Return the statement that `entries` runs."""
    order = (VIEW.c.created_at.desc(), VIEW.c.id.desc())
    return _narrowed(wanted).order_by(*order).limit(limit)


def _narrowed(wanted: Wanted, *shown: Any) -> Select[Any]:
    statement: Select[Any] = select(*(shown or _SHOWN)).select_from(VIEW)
    equal = {
        VIEW.c.entity_type: wanted.entity_type,
        VIEW.c.entity_id: wanted.entity_id,
        VIEW.c.user_id: wanted.actor,
        VIEW.c.action: wanted.action,
    }
    for column, value in equal.items():
        if value is not None:
            statement = statement.where(column == value)
    if wanted.since is not None:
        statement = statement.where(VIEW.c.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(VIEW.c.created_at < wanted.until)
    return statement
