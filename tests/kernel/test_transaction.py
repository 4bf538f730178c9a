"""Transactions and readers: all or nothing, and nobody is told of success before COMMIT."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from bedplate.kernel import ids
from bedplate.kernel.database import Database, Writer, database_of, joined
from bedplate.kernel.errors import (
    CheckViolation,
    DatabaseError,
    ForeignKeyViolation,
    HandleClosed,
    ReadOnly,
    UniqueViolation,
    UsageError,
)
from bedplate.kernel.fields import assign
from bedplate.kernel.transaction import Unit
from tests.kernel.builders import (
    a_product,
    new_customer,
    new_order,
    new_product,
    order_lines,
    products,
)
from tests.kernel.pools import whole
from tests.shop import OrderLine, Product
from tests.world import World


class Oops(Exception):
    """What a caller's own code raises."""


def test_what_a_transaction_wrote_is_there_once_it_has_ended(world: World) -> None:
    other = world.other_db()

    async def body(db: Database) -> list[int]:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            await new_product(tx, "B")
            seen = [await products.count(tx), await products.count(other)]
        return [*seen, await products.count(other)]

    assert world.run(body(world.db)) == [2, 0, 2]


def test_a_failure_takes_everything_back_and_is_raised_as_it_is(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            raise Oops

    with pytest.raises(Oops):
        world.run(body(world.db))
    assert world.run(products.count(world.db)) == 0


def test_what_belongs_together_joins_the_callers_transaction_or_has_its_own(world: World) -> None:
    async def both(w: Writer, *names: str) -> None:
        assert database_of(w) is world.db
        async with joined(w) as tx:
            assert w in (tx, world.db)
            for name in names:
                await new_product(tx, name)

    async def body(db: Database) -> None:
        await both(db, "A", "B")
        async with db.transaction() as outer:
            await both(outer, "C", "D")
            assert (await products.count(outer), await products.count(db)) == (4, 2)
            raise Oops

    with pytest.raises(Oops):
        world.run(body(world.db))
    assert world.run(products.count(world.db)) == 2


def test_the_connection_of_a_failed_transaction_is_as_good_as_new(world: World) -> None:
    async def body(db: Database) -> int:
        for _ in range(25):
            with pytest.raises(UniqueViolation):  # noqa: PT012
                async with db.transaction() as tx:
                    await new_product(tx, "A")
                    await new_product(tx, "A")
        return await products.count(db)

    assert world.run(body(world.db)) == 0


def test_a_commit_that_postgresql_answers_with_rollback_is_an_error(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            with pytest.raises(CheckViolation):
                await products.update(tx, (await _only(tx)).id, assign(Product.price, Decimal(0)))

    with pytest.raises(DatabaseError, match=r"rolled back.*tx\.savepoint\(\)"):
        world.run(body(world.db))
    assert world.run(products.count(world.db)) == 0


async def _only(db: Any) -> Product:
    (product,) = await products.list(db)
    return product


def test_without_that_guard_the_loss_would_look_like_success(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believe(self: Unit, connection: Any, command: str) -> None:
        await self.database.leaf.command(connection, command)

    async def body(db: Database) -> str:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            with pytest.raises(UniqueViolation):
                await new_product(tx, "A")
        return "committed"

    monkeypatch.setattr(Unit, "_end", believe)
    assert world.run(body(world.db)) == "committed"
    assert world.run(products.count(world.db)) == 0


def test_a_rule_that_is_checked_at_commit_fails_the_commit(world: World) -> None:
    told: list[str] = []

    async def body(db: Database) -> None:
        order = await new_order(db, await new_customer(db))
        async with db.transaction() as tx:
            line = OrderLine(
                order_id=order.id, product_id=ids.new(), position=1, unit_price=order.total
            )
            await order_lines.create(tx, line)
            tx.after_commit(lambda: told.append("committed"))

    with pytest.raises(ForeignKeyViolation) as refused:
        world.run(body(world.db))
    assert refused.value.constraint == "fk_order_lines_product_id_products"
    assert refused.value.columns == ("product_id",)
    assert told == []
    assert world.run(order_lines.count(world.db)) == 0


def test_a_savepoint_takes_back_its_block_only(world: World) -> None:
    async def body(db: Database) -> list[str]:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            with pytest.raises(UniqueViolation):  # noqa: PT012
                async with tx.savepoint():
                    await new_product(tx, "B")
                    await new_product(tx, "A")
            async with tx.savepoint() as same:
                assert same is tx
                await new_product(tx, "C")
                with pytest.raises(Oops):  # noqa: PT012
                    async with tx.savepoint():
                        await new_product(tx, "D")
                        raise Oops
        return await db.all(select(Product.sku).order_by(Product.sku))

    assert world.run(body(world.db)) == ["A", "C"]


def test_without_a_savepoint_the_first_failure_dooms_the_rest(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            with pytest.raises(UniqueViolation):
                await new_product(tx, "A")
            with pytest.raises(DatabaseError, match="25P02"):
                await products.count(tx)
            raise Oops

    with pytest.raises(Oops):
        world.run(body(world.db))


def test_hooks_run_after_the_commit_in_their_order_and_may_wait(world: World) -> None:
    told: list[Any] = []

    async def body(db: Database) -> None:
        async def count() -> None:
            told.append(await products.count(db))

        async with db.transaction() as tx:
            tx.after_commit(lambda: told.append("first"))
            tx.after_commit(count)
            await new_product(tx, "A")
            assert told == []

    world.run(body(world.db))
    assert told == ["first", 1]


def test_no_hook_runs_after_a_rollback(world: World) -> None:
    told: list[str] = []

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            tx.after_commit(lambda: told.append("committed"))
            await new_product(tx, "A")
            raise Oops

    with pytest.raises(Oops):
        world.run(body(world.db))
    assert told == []


def test_a_savepoint_that_is_taken_back_takes_its_hooks_with_it(world: World) -> None:
    told: list[str] = []

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            tx.after_commit(lambda: told.append("outer"))
            with pytest.raises(Oops):  # noqa: PT012
                async with tx.savepoint():
                    tx.after_commit(lambda: told.append("inner"))
                    async with tx.savepoint():
                        tx.after_commit(lambda: told.append("innermost"))
                    raise Oops
            async with tx.savepoint():
                tx.after_commit(lambda: told.append("kept"))

    world.run(body(world.db))
    assert told == ["outer", "kept"]


def test_a_hook_that_fails_is_told_of_and_takes_nothing_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail() -> None:
        raise Oops

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            tx.after_commit(fail)
            tx.after_commit(lambda: told.append("the next one"))
            await new_product(tx, "A")

    with caplog.at_level(logging.ERROR, "bedplate"):
        world.run(body(world.db))
    assert "the transaction is committed" in caplog.text
    assert told == ["the next one"]
    assert world.run(products.count(world.db)) == 1


def test_a_reader_cannot_write_and_postgresql_says_so(world: World) -> None:
    async def write(db: Database) -> None:
        async with db.read() as reader:
            await reader.run(update(Product).values(title="changed"))

    async def insert(db: Database) -> None:
        async with db.read() as reader:
            await products.create(reader, a_product())  # type: ignore[arg-type]

    async def load(db: Database) -> None:
        async with db.read() as reader:
            fields = (Product.sku, Product.title, Product.price)
            await products.load(reader, fields, [("A", "T", 1)])  # type: ignore[arg-type]

    world.run(new_product(world.db, "Z"))
    for verb in (write, insert, load):
        with pytest.raises(ReadOnly, match=r"db\.transaction\(\)"):
            world.run(verb(world.db))
    assert world.run(products.count(world.db)) == 1


def test_a_reader_says_so_to_postgresql_itself(world: World) -> None:
    async def body(db: Database) -> list[Any]:
        setting = text("SELECT current_setting('transaction_read_only')")
        async with db.read() as reader, db.transaction() as tx:
            return [(await reader.one(setting))[0], (await tx.one(setting))[0]]

    assert world.run(body(world.db)) == ["on", "off"]


def test_a_handle_is_of_no_use_before_it_is_entered_and_after_it_has_ended(world: World) -> None:
    async def body(db: Database) -> None:
        for made in (db.read(), db.transaction()):
            with pytest.raises(HandleClosed, match="not entered"):
                await products.count(made)
            async with made as handle:
                assert await products.count(handle) == 0
            for use in (products.count(handle), handle.connection()):
                with pytest.raises(HandleClosed, match="already over"):
                    await use
            with pytest.raises(HandleClosed, match="already over"):
                async with made:
                    pass
        await whole(db)

    world.run(body(world.db))


def test_a_session_in_a_failed_transaction_is_not_flushed(world: World) -> None:
    if world.mode == "sync":
        pytest.skip("a session needs an event loop")

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            session = await tx.session()
            session.add(a_product("A"))
            raise Oops

    with pytest.raises(Oops):
        world.run(body(world.db))
    assert world.run(products.count(world.db)) == 0


def test_tasks_that_share_a_transaction_are_told_and_leave_no_connection_behind(
    world: World,
) -> None:
    if world.mode == "sync":
        pytest.skip("there are no tasks without an event loop")

    async def body(db: Database) -> None:
        with pytest.raises(UsageError, match="Two tasks use one transaction"):
            async with db.transaction() as tx:
                await asyncio.gather(*(new_product(tx, sku) for sku in ("A", "B", "C")))
        for _ in range(30):
            async with db.transaction() as tx:
                await products.count(tx)
        await whole(db)

    world.run(body(world.db))
    assert world.run(products.count(world.db)) == 0


def test_a_cancelled_task_leaves_the_transaction_rolled_back(world: World) -> None:
    if world.mode == "sync":
        pytest.skip("there are no tasks without an event loop")

    async def body(db: Database) -> None:
        async def work() -> None:
            async with db.transaction() as tx:
                await new_product(tx, "A")
                await tx.run(text("SELECT pg_sleep(60)"))

        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await products.count(db) == 0
        active = text("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep.60' AND pid")
        other_than_us = f"{active.text} <> pg_backend_pid() AND state = 'active'"
        # The server is shared: another worker's test may sleep as long.
        other_than_us += " AND datname = current_database()"
        assert (await db.one(text(other_than_us)))[0] == 0

    world.run(body(world.db))


def test_a_guarded_handle_is_refused_where_there_is_no_guarded_role(world: World) -> None:
    """Going on as the app would show the actor every row."""
    world.db.guarded_role = None
    with pytest.raises(UsageError, match="no guarded one"):
        world.db.read(actor=UUID(int=1), guarded=True)
