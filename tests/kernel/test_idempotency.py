"""Idempotency where it is loaded: many pools, any text as a key, any answer that JSON can carry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bedplate import Database, Once, Request, once
from tests.kernel.builders import new_product, products
from tests.kernel.together import together
from tests.world import World

REQUESTS = 50


class Counted(msgspec.Struct, frozen=True):
    """An answer whose dict has keys that JSON writes as text."""

    by_number: dict[int, str]


ANSWER = Counted({1: "one", -2: "minus two"})


async def buy(db: Database, key: str = "k-1") -> Once[Counted]:
    request = Request(user_id=None, action="shop.buy", key=key, content={"sku": "A-1"})
    async with db.transaction() as tx:

        async def work() -> Counted:
            await new_product(tx, "A-1")
            return ANSWER

        return await once(tx, request, work, Counted)


def test_fifty_connections_of_five_pools_do_the_work_once(world: World) -> None:
    pools = [world.db, *(world.other_db() for _ in range(4))]
    outcomes = together(world, [buy(pools[number % 5]) for number in range(REQUESTS)])
    assert [outcome.answer for outcome in outcomes] == [ANSWER] * REQUESTS
    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    assert world.run(products.count(world.db)) == 1


def test_without_once_nothing_keeps_the_fifty_apart(world: World) -> None:
    async def work(db: Database, number: int) -> Any:
        async with db.transaction() as tx:
            return await new_product(tx, f"A-{number}")

    pools = [world.db, *(world.other_db() for _ in range(4))]
    together(world, [work(pools[number % 5], number) for number in range(REQUESTS)])
    assert world.run(products.count(world.db)) == REQUESTS


@pytest.mark.parametrize("key", ["k", "k" * 255, "\N{SNOWMAN}" * 255, "' OR true --", " "])
def test_any_text_of_the_right_length_is_a_key(world: World, key: str) -> None:
    async def body(db: Database) -> None:
        assert await buy(db, key) == Once(ANSWER, False)
        assert await buy(db, key) == Once(ANSWER, True)

    world.run(body(world.db))


def test_it_costs_two_statements_beside_the_work(world: World) -> None:
    async def body(db: Database) -> None:
        for work in (1, 0):
            sent = db.leaf.round_trips
            await buy(db)
            assert db.leaf.round_trips == sent + 2 + work + 1  # and COMMIT

    world.run(body(world.db))
