"""How long a migration waits for others' locks, and how often it asks again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from bedplate.operations.migrate.failures import is_lock_conflict

T = TypeVar("T")

# One for each attempt. DDL queues for its lock and everything else queues behind it, so that the
# app waits as long as we do: many short attempts, which find their moment between the app's own
# short transactions, before the few longer ones for an app whose transactions last longer.
LOCK_TIMEOUTS_MS = (*[100] * 20, *[400] * 10, *[2_000] * 3)
LOCK_PAUSE_S = (0.1, 1.0)
STATEMENT_TIMEOUT_S = 3_600


def giving_way(
    attempt: Callable[[int], T], make_way: Callable[[BaseException], None] | None = None
) -> T:
    """Run something, and again where others' locks stood in its way, LOCK_TIMEOUTS_MS times.

    `attempt` is given the lock timeout to work with, in ms; `make_way` is told of each conflict
    before the next one. Raises what the last attempt raised, and at once whatever is no conflict
    of locks.
    """
    for number, timeout_ms in enumerate(LOCK_TIMEOUTS_MS, 1):
        try:
            return attempt(timeout_ms)
        except Exception as error:
            if not is_lock_conflict(error) or number == len(LOCK_TIMEOUTS_MS):
                raise
            if make_way is not None:
                make_way(error)
            # Jitter, so that two runners that collided do not collide again.
            time.sleep(random.uniform(*LOCK_PAUSE_S))
    raise AssertionError("the last attempt returns or raises")
