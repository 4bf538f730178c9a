"""How many rows a batch has: as many as the app can do without for a moment."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from bedplate.kernel import clock

# Of much less, on a busy machine, the ways to the server and back would be the greater part: the
# backfill would fall behind an app that inserts what it is to fill.
AIM_MS = 200.0
"""How long a batch is to keep its rows locked: so long the app may wait for one of them."""

ROWS_MIN = 100


class Pace:
    """The size of the next batch, from how long the last one held its locks; `most` rows at most.

    It begins small, and at most doubles.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._began = 0
        self.rows = min(ROWS_MIN, most)

    @contextmanager
    def batch(self) -> Generator[None]:
        """Time the transaction in this block from its beginning, or from `locks`."""
        self.locks()
        yield
        held_ms = max(1.0, (clock.nanoseconds() - self._began) / 1e6)
        wanted = int(self.rows * min(2.0, AIM_MS / held_ms))
        self.rows = min(self._most, max(ROWS_MIN, wanted))

    def locks(self) -> None:
        """Say that the batch locks its rows from now on."""
        self._began = clock.nanoseconds()
