"""SQLAlchemy's session billing by hand: price, miners, number, invoice, document, audit rows."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import sqlalchemy
from sqlalchemy import (
    DateTime,
    Engine,
    Enum,
    FetchedValue,
    ForeignKey,
    create_engine,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from bench.accounting_contestant import OVER_SESSIONS_SHARE, Way
from bench.accounting_data import PEERS
from bench.keys import time_ordered_key

IN_SCHEMA = {"schema": PEERS}
SERIES = "accounting.invoices"


class Status(enum.Enum):
    """Where an invoice stands, as far as the bench goes."""

    ISSUED = "ISSUED"


class Action(enum.Enum):
    """What is audited, as far as the bench goes."""

    INVOICE_CREATED = "INVOICE_CREATED"
    INVOICE_ISSUED = "INVOICE_ISSUED"


class Table(DeclarativeBase):
    """The declarative base of this file."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        Status: Enum(Status, name="invoice_status", schema="accounting"),
        Action: Enum(Action, name="audit_action", schema="accounting"),
    }


class Miner(Table):
    """A customer's machine."""

    __tablename__ = "miners"
    __table_args__ = ({"schema": "mining"},)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    status: Mapped[str]


class Price(Table):
    """What a miner costs a customer."""

    __tablename__ = "customer_pricing_config"
    __table_args__ = ({"schema": "accounting"},)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    default_unit_price: Mapped[Decimal]
    effective_from: Mapped[date]
    effective_to: Mapped[date | None]


class Counter(Table):
    """The last number of a day."""

    __tablename__ = "number_series"
    __table_args__ = IN_SCHEMA

    series: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    last_number: Mapped[int]


class Template(Table):
    """What is billed every month."""

    __tablename__ = "recurring_invoices"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    day_of_month: Mapped[int]
    start_date: Mapped[date]
    unit_price: Mapped[Decimal | None]
    is_active: Mapped[bool]
    last_generated_date: Mapped[date | None]
    due_days: Mapped[int]
    created_by: Mapped[UUID]


class Invoice(Table):
    """One invoice."""

    __tablename__ = "invoices"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    user_id: Mapped[UUID]
    total_miners: Mapped[int]
    unit_price: Mapped[Decimal]
    total_amount: Mapped[Decimal] = mapped_column(FetchedValue())
    due_date: Mapped[date]
    invoice_number: Mapped[str]
    status: Mapped[Status]
    issued_date: Mapped[datetime]
    recurring_invoice_id: Mapped[UUID]
    billing_date: Mapped[date]
    created_by: Mapped[UUID]
    document: Mapped[Document] = relationship()


class Document(Table):
    """What an issued invoice says, with its hash."""

    __tablename__ = "invoice_documents"
    __table_args__ = IN_SCHEMA

    invoice_id: Mapped[UUID] = mapped_column(ForeignKey(Invoice.id), primary_key=True)
    content: Mapped[dict[str, Any]]
    content_sha256: Mapped[bytes]


class User(Table):
    """A customer, as far as the document names it."""

    __tablename__ = "users"
    __table_args__ = ({"schema": "auth"},)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str | None]


class AuditLog(Table):
    """What was done."""

    __tablename__ = "audit_logs"
    __table_args__ = IN_SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True, default=time_ordered_key)
    action: Mapped[Action]
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    changes: Mapped[dict[str, Any]]
    description: Mapped[str]


class AccountingSqlalchemy:
    """A loop over the templates, each invoice a transaction: nobody waits long for the counter."""

    ways: ClassVar[Mapping[str, Way]] = {
        "bill": Way(PEERS, OVER_SESSIONS_SHARE),
        "bill, variant": Way(PEERS, OVER_SESSIONS_SHARE),
    }
    _engine: Engine

    async def open(self, url: str) -> dict[str, str]:
        """Make an engine with one connection."""
        address = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self._engine = create_engine(address, pool_size=1, max_overflow=0)
        return {"sqlalchemy": sqlalchemy.__version__, "psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the engine's pool."""
        self._engine.dispose()

    async def run(self, work: str, through: date, templates: int) -> int:
        """Bill at most so many templates; the variant commits all of them at once."""
        at_once = work != "bill"
        with Session(self._engine, expire_on_commit=False) as session:
            due = _due(session, through, templates)
            for template in due:
                _bill(session, template, through)
                if not at_once:
                    session.commit()
            session.commit()
            return len(due)


def _due(session: Session, through: date, templates: int) -> list[Template]:
    first = through.replace(day=1)
    return list(
        session.scalars(
            select(Template)
            .where(
                Template.is_active,
                Template.start_date <= through,
                or_(Template.last_generated_date.is_(None), Template.last_generated_date < first),
            )
            .order_by(Template.id)
            .limit(templates)
        )
    )


def _bill(session: Session, template: Template, through: date) -> None:
    day = through.replace(day=template.day_of_month)
    price = (
        template.unit_price
        or session.scalars(
            select(Price.default_unit_price).where(
                Price.user_id == template.user_id,
                Price.effective_from <= day,
                or_(Price.effective_to.is_(None), Price.effective_to > day),
            )
        ).one()
    )
    miners = session.scalars(
        select(func.count()).where(Miner.user_id == template.user_id, Miner.status == "ACTIVE")
    ).one()
    now = datetime.now(UTC)
    number = _next_number(session, now)
    invoice = Invoice(
        id=time_ordered_key(),
        user_id=template.user_id,
        total_miners=miners,
        unit_price=price,
        due_date=now.date() + timedelta(days=template.due_days),
        invoice_number=number,
        status=Status.ISSUED,
        issued_date=now,
        recurring_invoice_id=template.id,
        billing_date=day,
        created_by=template.created_by,
    )
    template.last_generated_date = day
    after = {"number": number, "miners": miners, "unit_price": str(price)}
    audited = [
        AuditLog(
            action=action,
            entity_type="Invoice",
            entity_id=str(invoice.id),
            changes={"after": after},
            description=f"Invoice {number}: {action.value}",
        )
        for action in Action
    ]
    invoice.document = _document(session, invoice)
    session.add_all((invoice, *audited))


def _document(session: Session, invoice: Invoice) -> Document:
    customer = session.get_one(User, invoice.user_id)
    content = {
        "invoice_number": invoice.invoice_number,
        "issued_on": invoice.issued_date.date().isoformat(),
        "due_on": invoice.due_date.isoformat(),
        "customer": {"id": str(customer.id), "name": customer.name, "email": customer.email},
        "miners": invoice.total_miners,
        "unit_price": str(invoice.unit_price),
        "total": str(invoice.total_miners * invoice.unit_price),
    }
    sha256 = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return Document(content=content, content_sha256=sha256)


def _next_number(session: Session, now: datetime) -> str:
    day = now.strftime("%Y%m%d")
    counter = session.scalar(
        select(Counter).where(Counter.series == SERIES, Counter.period == day).with_for_update()
    )
    if counter is None:
        counter = Counter(series=SERIES, period=day, last_number=0)
        session.add(counter)
    counter.last_number += 1
    return f"{day}{counter.last_number:02}"


def contestant() -> AccountingSqlalchemy:
    """Return the contestant of this file."""
    return AccountingSqlalchemy()
