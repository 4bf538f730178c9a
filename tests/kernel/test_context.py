"""The context: said once at the edge, kept by the task, sent with the transaction only."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from bedplate.kernel.context import Context, acting, current, is_empty
from bedplate.kernel.database import Database
from bedplate.kernel.errors import UsageError
from tests.kernel.builders import new_product, products
from tests.world import World

SETTINGS = text(
    "SELECT current_setting('bedplate.actor', true), current_setting('bedplate.request_id', true),"
    " current_setting('bedplate.ip', true), current_setting('bedplate.user_agent', true)"
)


def test_nobody_acts_until_somebody_says_so() -> None:
    assert is_empty(current())
    assert current().actor_type == "SYSTEM"
    with acting("ada") as context:
        assert current() is context
        assert context.actor_type == "USER"
        assert not is_empty(context)
    assert is_empty(current())


def test_an_inner_block_keeps_what_it_does_not_say() -> None:
    with acting("ada", request_id="r1", ip="::1"), acting(user_agent="curl", ip="10.0.0.1"):
        assert current() == Context(actor="ada", request_id="r1", ip="10.0.0.1", user_agent="curl")


def test_the_context_ends_with_its_block_also_when_that_fails() -> None:
    with pytest.raises(KeyError), acting("ada"):
        raise KeyError
    assert is_empty(current())


def test_tasks_have_contexts_of_their_own() -> None:
    async def one(name: str) -> object:
        with acting(name):
            await asyncio.sleep(0)
            return current().actor

    async def both() -> list[object]:
        return await asyncio.gather(one("ada"), one("grace"))

    assert asyncio.run(both()) == ["ada", "grace"]


def test_a_transaction_tells_the_server_who_acts_and_on_whose_request(world: World) -> None:
    async def body(db: Database) -> tuple[object, ...]:
        with acting("ada", request_id="r-1", ip="::1", user_agent="Mozilla/5.0 'quoted' %s $1"):
            async with db.transaction() as tx:
                return await tx.one(SETTINGS)

    said = ("ada", "r-1", "::1", "Mozilla/5.0 'quoted' %s $1")
    assert world.run(body(world.db)) == said


def test_the_settings_end_with_the_transaction(world: World) -> None:
    async def body(db: Database) -> list[tuple[object, ...]]:
        found = []
        for actor in ("ada", None):
            # The pool may give either of its connections; both have to have forgotten.
            for _ in range(4):
                async with db.transaction(actor=actor) as tx:
                    found.append(await tx.one(SETTINGS))
        return found

    settings = world.run(body(world.db))
    assert {row[0] for row in settings[:4]} == {"ada"}
    assert {row[0] for row in settings[4:]} <= {"", None}


def test_the_argument_beats_the_context_and_keeps_the_request(world: World) -> None:
    async def body(db: Database) -> tuple[object, ...]:
        with acting("ada", request_id="r-1"):
            async with db.read("grace") as reader:
                return await reader.one(SETTINGS)

    assert world.run(body(world.db))[:2] == ("grace", "r-1")


def test_a_user_agent_cannot_smuggle_sql(world: World) -> None:
    async def body(db: Database) -> tuple[object, ...]:
        with acting(
            "x'); DROP TABLE shop.products; --", user_agent="', true); DELETE FROM shop.products"
        ):
            async with db.transaction() as tx:
                await new_product(tx)
                return await tx.one(SETTINGS)

    assert world.run(body(world.db))[0] == "x'); DROP TABLE shop.products; --"
    assert world.run(products.count(world.db)) == 1


def test_a_guarded_handle_needs_an_actor(world: World) -> None:
    with pytest.raises(UsageError, match="no actor is known"):
        world.db.transaction(guarded=True)
    with pytest.raises(UsageError, match="no actor is known"):
        world.db.read(guarded=True)
    with acting("ada"):
        world.db.read(guarded=True)
