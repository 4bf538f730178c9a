"""AU4: each entry says who, on whose request and from where; where nobody said so, SYSTEM."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from bedplate import Database, Transaction, UserId, acting, assign, errors
from bedplate.kernel import audit, ids
from bedplate.kernel.audit import Counts, Entry, Wanted
from bedplate.modules.auth import AuditAction, AuditLog, User, create_user, users
from tests.kernel.builders import customers, new_order, new_product, order_lines
from tests.shop import Customer, OrderLine
from tests.world import World

REQUEST = {"request_id": "r-1", "ip": "::1", "user_agent": "Mozilla/5.0 'quoted' %s $1"}


def said(entry: Entry) -> tuple[Any, ...]:
    return (entry.actor_type, entry.user_id, entry.request_id, entry.ip_address, entry.user_agent)


async def last(db: Database) -> Entry:
    return (await audit.entries(db, limit=1))[0]


async def a_user(db: Database, email: str = "ada@example.com") -> User:
    return await users.create(db, User(email=email))


def test_an_entry_says_who_and_from_where(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        with acting(ada.id, **REQUEST):
            async with db.transaction() as tx:
                await users.update(tx, ada.id, assign(User.name, "Ada"))
        entry = await last(db)
        assert said(entry) == ("USER", str(ada.id), *REQUEST.values())
        assert (entry.action, entry.entity_type, entry.entity_id) == (
            *("ROW_UPDATED", "users"),
            str(ada.id),
        )

    world.run(body(world.db))


def test_where_nobody_is_known_to_act_it_is_the_system_and_counted(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        async with db.transaction(ada.id) as tx:
            await users.update(tx, ada.id, assign(User.name, "B"))
        with acting(ada.id, **REQUEST):
            await users.update(db, ada.id, assign(User.name, "C"))
        # The connection went back to the pool: nothing of what was said is left on it.
        for count in range(1, 5):
            async with db.transaction() as tx:
                await users.update(tx, ada.id, assign(User.failed_login_count, count))
            assert said(await last(db)) == ("SYSTEM", None, None, None, None)
            await users.update(db, ada.id, assign(User.failed_login_count, -count % 9))
            assert said(await last(db)) == ("SYSTEM", None, None, None, None)
        assert await audit.counts(db) == Counts(entries=11, by_system=9)
        assert await audit.counts(db, Wanted(actor=str(ada.id))) == Counts(2, 0)

    world.run(body(world.db))


def test_single_statements_on_db_say_who_acts(world: World) -> None:
    """Whatever writes: a repository, a statement built on the spot, raw SQL, WITH, COPY."""

    async def body(db: Database) -> None:
        ada = await a_user(db)
        is_ada = User.id == ada.id
        raw = "UPDATE auth.users SET name = 'raw' WHERE id = :id"
        changed = update(User).values(name="with").where(is_ada).returning(User.id).cte("changed")
        with acting(ada.id, **REQUEST):
            grace = await a_user(db, "grace@example.com")
            await users.upsert(db, User(id=ada.id, email=ada.email, name="1"), on=(User.id,))
            await users.update(db, ada.id, assign(User.name, "2"))
            await db.run(update(User).values(name="built").where(User.id.in_([ada.id])))
            await db.run(text(raw).bindparams(id=ada.id))
            assert await db.all(select(changed.c.id)) == [ada.id]
            assert await users.load(db, (User.email,), [("eve@example.com",)]) == 1
            await users.delete(db, grace.id, hard=True)
        first, *entries = reversed(await audit.entries(db))
        assert said(first)[0] == "SYSTEM"
        assert len(entries) == 8
        assert {said(each) for each in entries} == {("USER", str(ada.id), *REQUEST.values())}
        assert len({each.transaction_id for each in entries}) == 8

    world.run(body(world.db))


def test_a_single_statement_that_says_who_acts_fails_as_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A rule that is looked at with COMMIT only fails the statement, not the next one."""

    async def body(db: Database) -> None:
        ada = await a_user(db)
        customer = await customers.create(db, Customer(user_id=ada.id, name="Ada"))
        order = await new_order(db, customer)
        lost = OrderLine(
            order_id=order.id, product_id=ids.new(), position=1, unit_price=Decimal("1.00")
        )
        with acting(ada.id, **REQUEST):
            for _ in range(3):
                with pytest.raises(errors.ForeignKeyViolation):
                    await order_lines.create(db, lost)
                with pytest.raises(errors.UniqueViolation):
                    await a_user(db)
            await users.update(db, ada.id, assign(User.name, "Ada"))
        assert await order_lines.count(db) == 0
        assert said(await last(db))[:2] == ("USER", str(ada.id))
        with acting(ids.new()), pytest.raises(errors.ActorUnknown):
            await users.update(db, ada.id, assign(User.name, "nobody"))
        assert (await users.get(db, ada.id)).name == "Ada"

    world.run(body(world.db))
    # Each connection goes back to the pool as it was taken: there is nothing to warn of.
    assert not [each for each in caplog.records if each.name.startswith("psycopg")]


async def undone(tx: Transaction, user: User) -> None:
    async with tx.savepoint():
        await users.update(tx, user.id, assign(User.name, "undone"))
        await users.update(tx, user.id, assign(User.failed_login_count, -1))


def test_savepoints_keep_the_actor_and_lose_what_they_undo(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        async with db.transaction(ada.id) as tx:
            async with tx.savepoint():
                await users.update(tx, ada.id, assign(User.name, "kept"))
            with pytest.raises(errors.CheckViolation):
                await undone(tx, ada)
            await users.update(tx, ada.id, assign(User.name, "after"))
        entries = await audit.entries(db, Wanted(actor=str(ada.id)))
        shown = [(entry.changes or {})["after"]["name"] for entry in entries]
        assert shown == ["after", "kept"]
        assert len({entry.transaction_id for entry in entries}) == 1

    world.run(body(world.db))


def test_a_guarded_transaction_is_recorded_though_it_may_not_read_the_log(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        async with db.transaction(ada.id, guarded=True) as tx:
            await users.update(tx, ada.id, assign(User.name, "Ada"))
        assert said(await last(db))[:2] == ("USER", str(ada.id))
        for forbidden in (audit.entries, lambda tx: audit.record(tx, a_note("x"))):
            with pytest.raises(errors.PermissionDenied):
                async with db.transaction(ada.id, guarded=True) as tx:
                    await forbidden(tx)

    world.run(body(world.db))


def test_an_sqlalchemy_session_on_the_transaction_is_recorded_as_its_actor(world: World) -> None:
    if world.mode == "sync":
        pytest.skip("a session needs an event loop")

    async def body(db: Database) -> None:
        ada = await a_user(db)
        async with db.transaction(ada.id) as tx:
            session = await tx.session()
            await session.execute(update(User).values(name="by session"))
            await session.commit()
        assert said(await last(db))[:2] == ("USER", str(ada.id))

    world.run(body(world.db))


@pytest.mark.parametrize("nobody", ["ada", str(UUID(int=4711)), "1; DROP TABLE auth.audit_logs"])
def test_an_actor_who_is_no_user_is_refused_and_nothing_written(world: World, nobody: str) -> None:
    async def body(db: Database) -> None:
        with pytest.raises(errors.ActorUnknown, match="existing user as actor=") as refused:
            async with db.transaction(nobody) as tx:
                await create_user(tx, User(email="ada@example.com"))
        assert refused.value.code == "actor_unknown"
        assert nobody not in str(refused.value)
        assert await users.count(db) == 0
        assert await audit.counts(db) == Counts(0, 0)
        # Where nothing is captured, nobody asks.
        async with db.transaction(nobody) as tx:
            await new_product(tx)

    world.run(body(world.db))


def a_note(entity: str) -> AuditLog:
    # A log of its own enum has business actions; auth has none, so one of the others serves.
    return AuditLog(
        action=AuditAction.ROW_UPDATED,
        entity_type="note",
        entity_id=entity,
        description="Noted.",
        changes={"before": None, "after": {"a": 1}},
    )


def test_a_business_action_is_recorded_with_its_transaction(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        with acting(ada.id, **REQUEST):
            async with db.transaction() as tx:
                written = await audit.record(tx, a_note("1"))
                await users.update(tx, ada.id, assign(User.name, "Ada"))
        note, row = sorted(
            await audit.entries(db, Wanted(actor=str(ada.id))), key=lambda each: each.entity_type
        )
        assert said(note) == said(row) == ("USER", str(ada.id), *REQUEST.values())
        assert note.transaction_id == row.transaction_id == written.transaction_id
        assert (note.id, note.description) == (written.id, "Noted.")
        assert note.changes == written.changes == {"before": None, "after": {"a": 1}}
        assert written.created_at == note.created_at

    world.run(body(world.db))


def test_a_business_action_on_db_takes_the_tasks_context(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        round_trips = db.statistics()["round_trips"]
        with acting(ada.id, **REQUEST):
            await audit.record(db, a_note("1"))
        await audit.record(db, a_note("2"))
        assert db.statistics()["round_trips"] == round_trips + 2
        two, one = await audit.entries(db, Wanted(entity_type="note"))
        assert said(one) == ("USER", str(ada.id), *REQUEST.values())
        assert said(two) == ("SYSTEM", None, None, None, None)

    world.run(body(world.db))


def test_a_business_action_cannot_name_another_actor(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await a_user(db)
        forged = a_note("1")
        forged.user_id, forged.actor_type = ada.id, "USER"
        assert (await audit.record(db, forged)).user_id is None
        nobody: UserId
        for nobody in (ids.new(), "ada"):
            with acting(nobody), pytest.raises(errors.ActorUnknown):
                await audit.record(db, a_note("2"))
        with pytest.raises(errors.UsageError, match="no audit log"):
            await audit.record(db, ada)
        assert await audit.counts(db, Wanted(entity_type="note")) == Counts(1, 1)

    world.run(body(world.db))


def test_what_is_captured_has_no_secret_whoever_wrote_it(world: World) -> None:
    async def body(db: Database) -> None:
        rows = [(f"{n}@example.com", f"hash-4711-{n}") for n in range(20)]
        await users.load(db, (User.email, User.password_hash), rows)
        await db.run(update(User).values(password_hash="hash-4711-new"))
        entries = await audit.entries(db, limit=100)
        assert len(entries) == 40
        shown = json.dumps([entry.changes for entry in entries])
        assert "hash-4711" not in shown
        assert shown.count(audit.REDACTED) == 60

    world.run(body(world.db))
