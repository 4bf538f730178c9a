"""once(): one request under one key is done once, whoever repeats it, whenever, in parallel."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from signal import SIGKILL
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
import pytest
from sqlalchemy import text

from bedplate.kernel import errors, ids, processes
from bedplate.kernel.context import UserId
from bedplate.kernel.database import Database
from bedplate.kernel.idempotency import KEEP, Once, Request, once
from bedplate.kernel.transaction import Transaction
from tests.asking import ask
from tests.house.source import ROOT
from tests.kernel.builders import new_product, products
from tests.kernel.together import Meeting, together
from tests.world import World

USER = UUID("01980000-0000-7000-8000-000000000001")
KEYS = text("SELECT count(*) FROM bedplate.idempotency_keys")
WAITING_FOR_US = text(
    "SELECT count(*) FROM pg_locks "
    "WHERE NOT granted AND transactionid = CAST(pg_current_xact_id() AS xid)"
)


class Deducted(msgspec.Struct, frozen=True, tag=True):
    """What was taken, and what is left."""

    sku: str
    left: Decimal
    at: datetime
    entry: UUID


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Why nothing was taken."""

    reason: str


def request(key: str = "k-1", user: UserId | None = USER, **content: Any) -> Request:
    return Request(
        user_id=user, action="shop.buy", key=key, content=content or {"sku": "A", "price": "1"}
    )


async def buy(
    db: Database, asked: Request, work: Callable[[Transaction], Awaitable[Any]] | None = None
) -> Once[Any]:
    """Make one product under a key; `work` does something else instead."""

    async with db.transaction() as tx:

        async def do() -> Any:
            if work is not None:
                return await work(tx)
            product = await new_product(tx, ids.new().hex[-20:])
            return Deducted(product.sku, Decimal("1.50"), product.created_at, product.id)

        return await once(tx, asked, do, Deducted | Refused)  # type: ignore[arg-type]


def test_a_repeated_request_gets_the_answer_it_got_before(world: World) -> None:
    first = world.run(buy(world.db, request()))
    again = world.run(buy(world.db, request()))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.answer == first.answer
    assert isinstance(again.answer, Deducted)
    assert again.answer.left == Decimal("1.50")
    assert again.answer.at.tzinfo is not None
    assert world.run(products.count(world.db)) == 1


def test_fifty_at_the_same_time_do_the_work_once_and_get_one_answer(world: World) -> None:
    outcomes = together(world, [buy(world.db, request()) for _ in range(50)])
    assert all(isinstance(outcome, Once) for outcome in outcomes), outcomes
    assert len({msgspec.json.encode(outcome.answer) for outcome in outcomes}) == 1
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert world.run(products.count(world.db)) == 1


def test_without_the_key_each_of_them_would_have_done_the_work(world: World) -> None:
    """What the key is there against: every impatient repetition buys once more."""
    keys = (request(f"k-{number}") for number in range(10))
    together(world, [buy(world.db, asked) for asked in keys])
    assert world.run(products.count(world.db)) == 10


def test_another_request_under_the_same_key_is_a_conflict(world: World) -> None:
    world.run(buy(world.db, request(sku="A", price="1")))
    for content in ({"sku": "B", "price": "1"}, {"sku": "A"}, {"sku": "A", "price": "1", "x": 1}):
        with pytest.raises(errors.IdempotencyConflict, match="new key"):
            world.run(buy(world.db, request(**content)))
    # The order in which its parts are named does not make it another request.
    assert world.run(buy(world.db, request(price="1", sku="A"))).replayed
    assert world.run(products.count(world.db)) == 1


def test_a_refusal_is_an_answer_and_is_replayed_too(world: World) -> None:
    done: list[int] = []

    async def refuse(tx: Transaction) -> Refused:
        done.append(1)
        return Refused("nothing left")

    answers = [world.run(buy(world.db, request(), refuse)).answer for _ in range(3)]
    assert answers == [Refused("nothing left")] * 3
    assert done == [1]


def test_a_rollback_frees_the_key(world: World) -> None:
    async def fail(tx: Transaction) -> Any:
        await new_product(tx)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        world.run(buy(world.db, request(), fail))
    assert world.run(world.db.one(KEYS)) == (0,)
    assert not world.run(buy(world.db, request())).replayed
    assert world.run(products.count(world.db)) == 1


def test_who_waits_for_one_that_rolls_back_does_the_work(world: World) -> None:
    begun = Meeting(world, 2)

    async def slow(tx: Transaction) -> Any:
        await begun.join()
        deadline = time.monotonic() + 30
        while not (await tx.one(WAITING_FOR_US))[0]:
            assert time.monotonic() < deadline
            await tx.database.leaf.sleep(0.01)
        raise ConnectionError

    async def late(db: Database) -> Once[Any]:
        await begun.join()
        return await buy(db, request())

    failed, done = together(world, [buy(world.db, request(), slow), late(world.db)])
    assert isinstance(failed, ConnectionError)
    assert not done.replayed


def test_the_same_key_of_two_users_or_two_actions_is_two_keys(world: World) -> None:
    other = UUID(int=USER.int + 1)
    asked = [
        request(),
        request(user=other),
        request(user=None),
        request(user="u_1"),
        request(user=7),
        Request(user_id=USER, action="shop.return", key="k-1", content={"sku": "A", "price": "1"}),
    ]
    assert [world.run(buy(world.db, one)).replayed for one in asked] == [False] * len(asked)
    assert [world.run(buy(world.db, one)).replayed for one in asked] == [True] * len(asked)


def test_twice_in_one_transaction_is_once(world: World) -> None:
    async def body(db: Database) -> list[bool]:
        async with db.transaction() as tx:

            async def work() -> str:
                await new_product(tx)
                return "done"

            both = [await once(tx, request(), work, str) for _ in range(2)]
        return [one.replayed for one in both]

    assert world.run(body(world.db)) == [False, True]


@pytest.mark.parametrize(
    ("answer", "type_"),
    [(None, type(None)), (5, int), ([1, None], list), ({"a": "ü"}, dict), (USER, UUID)],
)
def test_an_answer_may_be_anything_that_json_can_say(world: World, answer: Any, type_: Any) -> None:
    async def body(db: Database) -> list[Any]:
        async def work() -> Any:
            return answer

        found = []
        for _ in range(2):
            async with db.transaction() as tx:
                found.append((await once(tx, request(), work, type_)).answer)
        return found

    assert world.run(body(world.db)) == [answer, answer]


def test_a_dataclass_is_an_answer_too(world: World) -> None:
    @dataclass(frozen=True)
    class Done:
        total: Decimal
        on: datetime

    async def body(db: Database) -> list[Done]:
        async def work() -> Done:
            return Done(Decimal("0.10"), datetime(2030, 1, 1, tzinfo=UTC))

        found = []
        for _ in range(2):
            async with db.transaction() as tx:
                found.append((await once(tx, request(), work, Done)).answer)
        return found

    first, again = world.run(body(world.db))
    assert first == again


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_without_or_beyond_its_length_is_refused_before_anything_is_sent(
    world: World, key: str
) -> None:
    before = world.db.leaf.round_trips
    with pytest.raises(errors.FieldInvalid, match="1 to 255 characters"):
        world.run(buy(world.db, request(key)))
    assert world.db.leaf.round_trips == before


def test_a_key_is_kept_for_the_stated_time(world: World) -> None:
    noon = world.clock.set(datetime(2030, 1, 1, 12, tzinfo=UTC))
    world.run(buy(world.db, request("x" * 255)))
    times = text("SELECT created_at, expires_at FROM bedplate.idempotency_keys")
    assert world.run(world.db.one(times)) == (noon, noon + KEEP)
    assert timedelta(days=90) == KEEP


ATTEMPTS: dict[str, LiteralString] = {
    "forget": "DELETE FROM bedplate.idempotency_keys",
    "answer anew": "UPDATE bedplate.idempotency_keys SET answer = '{}'",
    "unanswer": "UPDATE bedplate.idempotency_keys SET answer = NULL",
    "give away": "UPDATE bedplate.idempotency_keys SET user_id = 'other'",
    "expire": "UPDATE bedplate.idempotency_keys SET expires_at = created_at + interval '1 s'",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_answer_is_neither_changed_nor_forgotten_before_it_expires(
    world: World, attempt: str
) -> None:
    world.run(buy(world.db, request()))
    kept = "SELECT * FROM bedplate.idempotency_keys"
    before = ask(world.clone, kept)
    for url in (world.clone.url, world.clone.owner_url):
        with psycopg.connect(url) as role, pytest.raises(psycopg.Error) as refused:
            role.execute(ATTEMPTS[attempt])
        assert refused.value.sqlstate == "BP001" or url == world.clone.url
    assert ask(world.clone, kept) == before
    with psycopg.connect(world.clone.owner_url, autocommit=True) as owner:
        # Sabotage: without the triggers it is.
        owner.execute("ALTER TABLE bedplate.idempotency_keys DISABLE TRIGGER USER")
        owner.execute(ATTEMPTS[attempt])
    assert ask(world.clone, kept) != before


def test_the_app_forgets_what_has_expired(world: World) -> None:
    world.clock.set(datetime(2030, 1, 1, 12, tzinfo=UTC))
    world.run(buy(world.db, request("one")))
    world.clock.advance(days=1)
    world.run(buy(world.db, request("two")))
    world.clock.advance(days=89)
    with psycopg.connect(world.clone.url, autocommit=True) as app:
        forget = "DELETE FROM bedplate.idempotency_keys WHERE expires_at <= bedplate.now()"
        assert app.execute(forget).rowcount == 1
        with pytest.raises(psycopg.Error, match="until it expires"):
            app.execute(ATTEMPTS["forget"])


def test_the_app_says_no_answer_with_a_key_and_no_other_moment(world: World) -> None:
    take: LiteralString = (
        "INSERT INTO bedplate.idempotency_keys (user_id, action, key, request_hash, expires_at{})"
        " VALUES ('', 'a', 'k', '', bedplate.now() + interval '1 day'{})"
    )
    with psycopg.connect(world.clone.url, autocommit=True) as app:
        for column, value in (("answer", "'{}'"), ("created_at", "'2020-01-01'")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(take.format(f", {column}", f", {value}"))
        app.execute(take.format("", ""))


PROGRAM = """
import sys
from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel.settings import load
from sqlalchemy import text
from tests.kernel.test_once import buy, request
from tests.kernel.builders import new_product

async def stop_in_the_middle(tx):
    await new_product(tx, "half-done")
    print("in the middle", flush=True)
    await tx.run(text("SELECT pg_sleep(60)"))

project = open_project(settings=load(environ={"DATABASE_URL": sys.argv[1]}), check_versions=False)
wait(buy(project.db, request(), stop_in_the_middle))
"""


def test_a_process_that_is_killed_in_the_middle_leaves_nothing(
    world: World, tmp_path: Path
) -> None:
    if world.mode == "async":
        pytest.skip("the killed program is the same in both worlds")
    log = tmp_path / "log"
    pid = processes.start(
        [sys.executable, "-c", PROGRAM, world.clone.url],
        log=log,
        guard=tmp_path / "guard",
        env={"PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 30
    while "in the middle" not in (log.read_text() if log.exists() else ""):
        assert processes.alive(pid), log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    assert processes.terminate(pid, [(SIGKILL, 30)])
    # The server notices at the latest when the statement ends; an operator need not wait for it.
    with closing(psycopg.connect(world.clone.url, autocommit=True)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE query LIKE 'SELECT pg_sleep(60)%' AND datname = current_database()"
        )
    assert world.run(world.db.one(KEYS)) == (0,)
    assert world.run(products.count(world.db)) == 0
    assert not world.run(buy(world.db, request())).replayed
