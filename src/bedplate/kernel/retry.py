"""Running a transaction again where that is safe: only what PostgreSQL itself rolled back."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from bedplate.kernel.errors import RetryableError, UsageError

if TYPE_CHECKING:
    from bedplate.kernel.database import Database
    from bedplate.kernel.transaction import Transaction

T = TypeVar("T")

ATTEMPTS = 5
"""How often a transaction is tried unless the caller says otherwise."""

_WAIT_S = 0.01
_WAIT_S_MAX = 1.0


async def retry(
    database: Database, work: Callable[[Transaction], Awaitable[T]], *, attempts: int = ATTEMPTS
) -> T:
    """Run `work(tx)` in a transaction of its own, again after a deadlock or a failed ordering.

    Waits are random and double, from 10 ms to 1 s, so that two losers do not meet again. A lost
    connection is not retried: its COMMIT may have happened.
    """
    if attempts < 1:
        raise UsageError("A transaction is tried at least once.", "Pass attempts >= 1.")
    for attempt in range(1, attempts + 1):
        try:
            async with database.transaction() as tx:
                return await work(tx)
        except RetryableError:
            if attempt == attempts:
                raise
            longest = min(_WAIT_S_MAX, _WAIT_S * 2**attempt)
            await database.leaf.sleep(random.uniform(0, longest))
    raise AssertionError("unreachable: the last attempt returns or raises")
