"""The only source of new ids: UUIDv7, made by the client.

Time-ordered keys keep B-tree inserts on the right edge, and a key known before the INSERT can
double as an idempotency key. PostgreSQL 15 to 17 have no `uuidv7()`, so the client makes them
everywhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_RANDOM_BITS = 62
_COUNTER_BITS = 12
_COUNTER_MAX = (1 << _COUNTER_BITS) - 1


class _Sequence:
    """Strictly rising ids in one process: 48 bits of milliseconds, 12 of counter, 62 of chance."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew: a forked child must not continue its parent's counter."""
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def take(self, count: int) -> list[int]:
        """Take `count` ids, as 128-bit numbers, under one lock and from one read of chance."""
        chance = os.urandom(8 * count + 1)
        numbers: list[int] = []
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms, self._counter = now_ms, chance[-1]
            for start in range(0, 8 * count, 8):
                self._counter += 1
                if self._counter > _COUNTER_MAX:
                    # Borrow from the future rather than wait: order matters more than the clock.
                    self._last_ms, self._counter = self._last_ms + 1, 0
                random = int.from_bytes(chance[start : start + 8]) >> (64 - _RANDOM_BITS)
                prefix = self._last_ms << 80 | self._counter << 64
                numbers.append(prefix | random | _VERSION_AND_VARIANT)
        return numbers


_sequence = _Sequence()
_source: Callable[[int], list[UUID]] | None = None


def new() -> UUID:
    """Return a new UUIDv7, larger than every one this process made before."""
    return many(1)[0]


def many(count: int) -> list[UUID]:
    """Return `count` new UUIDv7s in rising order; cheaper than `count` calls of `new`."""
    return [UUID(int=number) for number in _numbers(count)]


def texts(count: int) -> list[str]:
    """Return `count` new UUIDv7s as 32 hexadecimal digits: for COPY, which needs no objects."""
    return [f"{number:032x}" for number in _numbers(count)]


def _numbers(count: int) -> list[int]:
    return _sequence.take(count) if _source is None else [one.int for one in _source(count)]


def replace_source(source: Callable[[int], list[UUID]] | None) -> None:
    """Make ids come from `source(count)`, or from chance again (None). For tests only."""
    global _source
    _source = source


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sequence.restart)
