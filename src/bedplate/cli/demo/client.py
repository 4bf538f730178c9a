"""A client process of the demo: does its errands, and writes down every answer it gets.

Run as `python -m bedplate.cli.demo.client ORDERS BOOK`. Where the connection breaks it asks again
under the same key, which is all that a client has to do to be charged once; it gives up where its
book is gone, for then so is the demo.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from bedplate.cli.demo.errands import END, Answer, Errand, Orders, settings_for
from bedplate.cli.demo.naive import deduct_credits
from bedplate.kernel.database import Database
from bedplate.kernel.errors import AuthenticationFailed, ConnectionFailed
from bedplate.modules import credits
from bedplate.project import Project

PAUSE_S = 0.05
WATCH_S = 0.2
ATTEMPTS_MAX = 1_200
"""A server that is away for longer than a minute is not coming back."""

T = TypeVar("T")


async def work(orders: Orders, book: BinaryIO) -> None:
    """Do every errand; a line is written for each answer, once it has arrived."""
    settings = settings_for(Path("/"), orders.url, orders.clients)
    errands = iter(orders.errands)
    async with (
        await insist(lambda: Project.open(settings=settings)) as project,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(orders.clients):
            group.create_task(_client(project.db, errands, orders, book))
    _write(book, END)


async def work_while_wanted(orders: Orders, book: BinaryIO) -> None:
    """Work, but give up once the book was deleted: then the demo is gone, and with it the server.

    Whoever started this process may have been interrupted before it knew that it had.
    """
    working = asyncio.create_task(work(orders, book))
    while not (await asyncio.wait({working}, timeout=WATCH_S))[0]:
        if os.fstat(book.fileno()).st_nlink == 0:
            working.cancel()
    await working


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: a lost connection leaves open whether it was done."""
    for _ in range(ATTEMPTS_MAX):
        try:
            return await ask()
        except AuthenticationFailed:
            raise
        except ConnectionFailed:
            await asyncio.sleep(PAUSE_S)
    return await ask()


async def _client(db: Database, errands: Iterator[Errand], orders: Orders, book: BinaryIO) -> None:
    do = _naively if orders.is_naive else _done
    for errand in errands:
        async for answer in do(db, errand):
            _write(book, msgspec.json.encode(answer) + b"\n")


def _write(book: BinaryIO, line: bytes) -> None:
    # Unbuffered: what is written stays, however this process ends.
    book.write(line)


async def _naively(db: Database, errand: Errand) -> AsyncIterator[Answer]:
    if errand.is_hold:
        return  # The plan has no holds.
    done = await deduct_credits(db, errand.user_id, errand.amount, errand.operation)
    outcome = "Deducted" if done else "Refused"
    yield Answer(errand.key, "deduct", outcome, None, errand.amount)


def _done(db: Database, errand: Errand) -> AsyncIterator[Answer]:
    return _held(db, errand) if errand.is_hold else _charged(db, errand)


async def _charged(db: Database, errand: Errand) -> AsyncIterator[Answer]:
    key = errand.key
    answer = await insist(
        lambda: credits.deduct(db, errand.user_id, errand.operation, key=key, amount=errand.amount)
    )
    if isinstance(answer, credits.Refused):
        yield Answer(key, "deduct", "Refused", None, answer.needed, answer.replayed)
        return
    usage_id, used = answer.usage_id, answer.credits_used
    yield Answer(key, "deduct", "Deducted", usage_id, used, answer.replayed)
    if errand.then:
        back = await insist(lambda: credits.refund(db, usage_id, key=key, amount=errand.then))
        yield Answer(key, "refund", "Refunded", back.usage_id, back.credits, back.replayed)


async def _held(db: Database, errand: Errand) -> AsyncIterator[Answer]:
    key = errand.key
    charge = credits.Charge(
        user_id=errand.user_id, operation=errand.operation, key=key, amount=errand.amount
    )
    held = await insist(lambda: credits.reserve(db, charge))
    if isinstance(held, credits.Refused):
        yield Answer(key, "reserve", "Refused", None, held.needed, held.replayed)
        return
    hold_id = held.hold_id
    yield Answer(key, "reserve", "Held", hold_id, held.amount, held.replayed)
    if errand.then:
        taken = await insist(lambda: credits.capture(db, hold_id, amount=errand.then))
        yield Answer(key, "capture", "Deducted", taken.usage_id, taken.credits_used)
    else:
        freed = await insist(lambda: credits.release(db, hold_id))
        yield Answer(key, "release", "Released", freed.hold_id, freed.credits)


def main() -> None:
    """Do the orders in the first file; write the answers to the second."""
    orders, book = map(Path, sys.argv[1:])
    told = msgspec.json.decode(orders.read_bytes(), type=Orders)
    with book.open("ab", buffering=0) as written:
        asyncio.run(work_while_wanted(told, written))
    gc.freeze()  # As every command does: the end comes sooner.


if __name__ == "__main__":
    main()
