"""A transaction that its owner forgot is ended by the server, whichever statement was its last."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import literal, select

from bedplate import errors
from bedplate.testing import Clone, FrozenClock
from tests.world import World, opened

IDLE_MS = 100
ONE = select(literal(1))


@pytest.fixture(params=["async", "sync"])
def impatient(
    request: pytest.FixtureRequest, bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> Iterator[World]:
    yield from opened(
        request.param, bedplate_clone, bedplate_clock, idle_in_transaction_timeout_ms=IDLE_MS
    )


@pytest.mark.parametrize("statements", [1, 2])
def test_a_forgotten_transaction_is_ended(impatient: World, statements: int) -> None:
    async def forget() -> None:
        async with impatient.db.transaction() as tx:
            for _ in range(statements):
                await tx.one(ONE)
            time.sleep(IDLE_MS * 5 / 1000)  # noqa: ASYNC251  Whoever forgets blocks as well.
            await tx.one(ONE)

    with pytest.raises(errors.ConnectionLost):
        impatient.run(forget())
    assert impatient.run(impatient.db.one(ONE)) == 1
