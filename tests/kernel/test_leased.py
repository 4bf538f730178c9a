"""A table of a module's own carries leases under the same rules as the kernel's jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped
from sqlalchemy.schema import CreateTable

from bedplate.kernel import lines
from bedplate.kernel.database import Database
from bedplate.kernel.errors import CheckViolation, LeaseLost, UniqueViolation
from bedplate.kernel.fields import assign
from bedplate.kernel.leased import Leased, State, leased_columns, leased_rules
from bedplate.kernel.leases import Fault, Lease, Leases
from bedplate.kernel.model import Model
from bedplate.kernel.repository import Repository
from tests.world import World


class Mail(Leased, Model):
    """A row that is itself the work."""

    __tablename__ = "mails"
    __table_args__ = ({"schema": "shop"},)

    recipient: Mapped[str]


mails = Repository(Mail)
MAIL_LEASES = Leases(Mail)
LEASE = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def table(world: World) -> None:
    """The table, made as a revision makes it."""
    made = sa.Table(
        "mails",
        sa.MetaData(),
        sa.Column("id", sa.Uuid, primary_key=True),
        *leased_columns(),
        sa.Column("recipient", sa.Text),
        schema="shop",
    )
    with psycopg.connect(world.clone.owner_url, autocommit=True) as owner:

        def execute(statement: str) -> object:
            return owner.execute(statement.encode())

        execute(str(CreateTable(made).compile(dialect=postgresql.dialect())))
        app = str(psycopg.conninfo.conninfo_to_dict(world.clone.url)["user"])
        with lines.running(lines.LineContext(schema="shop", execute=execute, app=app)):
            leased_rules("mails")
            lines.grant("mails")


def test_its_rows_are_claimed_kept_and_ended_like_jobs(world: World) -> None:
    async def body(db: Database) -> None:
        first = await mails.create(db, Mail(recipient="a@example.org", serial_key="a"))
        await mails.create(db, Mail(recipient="b@example.org", serial_key="a", priority=5))
        # A moment for clocks that differ: `run_at` is the client's.
        world.clock.advance(seconds=1)
        [held] = (await MAIL_LEASES.claim(db, "one", limit=5, lease=LEASE)).held
        assert (held.recipient, held.attempts) == ("a@example.org", 1)
        stale = Lease.of(held)
        world.clock.advance(seconds=31)
        [again] = (await MAIL_LEASES.claim(db, "two", limit=5, lease=LEASE)).held
        assert again.id == first.id
        with pytest.raises(LeaseLost):
            await MAIL_LEASES.finish(db, stale)
        lease = Lease.of(again)
        assert await MAIL_LEASES.heartbeats(db, [lease], extend=LEASE) == {lease.id: False}
        async with db.transaction() as tx:
            await mails.update(tx, lease.id, assign(Mail.recipient, "sent@example.org"))
            await MAIL_LEASES.finish(tx, lease)
        assert (await mails.get(db, first.id)).state == State.SUCCEEDED
        [second] = (await MAIL_LEASES.claim(db, "two", limit=5, lease=LEASE)).held
        lease = Lease.of(second)
        fault = Fault("test", "It broke.")
        assert await MAIL_LEASES.fail(db, lease, fault, retry_in=LEASE) == State.PENDING
        assert await MAIL_LEASES.cancel(db, lease.id) == State.CANCELLED

    world.clock.freeze()
    world.run(body(world.db))


def test_its_rules_are_its_own(world: World) -> None:
    async def body(db: Database) -> None:
        await mails.create(db, Mail(recipient="a", unique_key="k"))
        wrong: list[tuple[type[Exception], Any]] = [
            (UniqueViolation, Mail(recipient="b", unique_key="k")),
            (CheckViolation, Mail(recipient="b", priority=21)),
        ]
        for error, mail in wrong:
            with pytest.raises(error, match=r"shop\.mails"):
                await mails.create(db, mail)

    world.run(body(world.db))
