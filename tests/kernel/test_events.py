"""Events: told inside the transaction, to whoever asked, in the order that was declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bedplate.kernel.database import Database
from bedplate.kernel.errors import UniqueViolation
from bedplate.kernel.events import Event, Subscription, Subscriptions
from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import User, UserCreated, create_user, users
from tests.kernel.builders import new_product, products
from tests.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold(Event):
    """Something was sold."""

    sku: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoldAgain(Sold):
    """It was sold before."""


async def sell(db: Database, *events: Event) -> None:
    async with db.transaction() as tx:
        for event in events:
            await tx.emit(event)


def hearing(world: World, *subscriptions: tuple[type[Event], Any]) -> None:
    world.db.subscriptions = Subscriptions(Subscription(*one) for one in subscriptions)


def test_subscribers_hear_their_events_and_subtypes_in_order(world: World) -> None:
    heard: list[tuple[str, str]] = []

    def listener(name: str) -> Any:
        async def hear(tx: Transaction, event: Sold) -> None:
            heard.append((name, event.sku))

        return hear

    hearing(world, (Sold, listener("one")), (SoldAgain, listener("two")), (Event, listener("all")))
    world.run(sell(world.db, Sold(sku="A"), SoldAgain(sku="B")))
    assert heard == [("one", "A"), ("all", "A"), ("one", "B"), ("two", "B"), ("all", "B")]


def test_what_a_subscriber_writes_commits_with_the_cause(world: World) -> None:
    other = world.other_db()
    seen: list[int] = []

    async def restock(tx: Transaction, event: Sold) -> None:
        await new_product(tx, event.sku)
        seen.append(await products.count(other))

    hearing(world, (Sold, restock))
    world.run(sell(world.db, Sold(sku="A")))
    assert seen == [0]
    assert world.run(products.count(world.db)) == 1


def test_a_subscriber_that_fails_fails_the_cause(world: World) -> None:
    async def refuse(tx: Transaction, event: UserCreated) -> None:
        await new_product(tx, "A")
        await new_product(tx, "A")

    async def register(db: Database) -> None:
        async with db.transaction() as tx:
            await create_user(tx, User(email="ada@example.com"))

    hearing(world, (UserCreated, refuse))
    with pytest.raises(UniqueViolation):
        world.run(register(world.db))
    assert world.run(users.count(world.db)) == 0
    assert world.run(products.count(world.db)) == 0


def test_a_subscriber_may_emit_in_turn_and_ask_for_hooks(world: World) -> None:
    told: list[str] = []

    async def again(tx: Transaction, event: Sold) -> None:
        if not isinstance(event, SoldAgain):
            await tx.emit(SoldAgain(sku=event.sku))
        tx.after_commit(lambda: told.append(type(event).__name__))

    hearing(world, (Sold, again))
    world.run(sell(world.db, Sold(sku="A")))
    assert told == ["SoldAgain", "Sold"]


def test_an_event_nobody_hears_costs_nothing(world: World) -> None:
    before = world.db.leaf.round_trips
    world.run(sell(world.db, Sold(sku="A")))
    assert world.db.leaf.round_trips == before


def test_an_event_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Sold(sku="A").sku = "B"  # type: ignore[misc]
