"""How long a migration waits for others' locks, and how often it asks again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from bedplate.operations.migrate.failures import is_lock_conflict

T = TypeVar("T")

# DDL queues for its lock and everything else queues behind it: better to give way soon and often.
LOCK_TIMEOUT_MS = 2_000
LOCK_ATTEMPTS_MAX = 10
LOCK_PAUSE_S = (0.1, 1.0)
STATEMENT_TIMEOUT_S = 3_600


def giving_way(attempt: Callable[[], T]) -> T:
    """Run something, and again where others' locks stood in its way, LOCK_ATTEMPTS_MAX times.

    Raises what the last attempt raised, and at once whatever is no conflict of locks.
    """
    for number in range(1, LOCK_ATTEMPTS_MAX + 1):
        try:
            return attempt()
        except Exception as error:
            if not is_lock_conflict(error) or number == LOCK_ATTEMPTS_MAX:
                raise
            # Jitter, so that two runners that collided do not collide again.
            time.sleep(random.uniform(*LOCK_PAUSE_S))
    raise AssertionError("the last attempt returns or raises")
