"""Traffic: connections of the app's role that insert and update while a migration runs."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from uuid import UUID

import psycopg

from bedplate.kernel import ids

INSERT = "INSERT INTO shop.items (id, price) VALUES (%s, 1.11)"
UPDATE = "UPDATE shop.items SET price = price + 0.01 WHERE id = md5(%s::text)::uuid"


@dataclass
class Traffic:
    """Statements in a loop on `connections` threads, each timed, over `rows` rows."""

    url: str
    connections: int
    rows: int
    inserted: list[UUID] = field(default_factory=list[UUID])
    failures: list[str] = field(default_factory=list[str])
    longest_ms: float = 0.0
    done: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._drive, args=(number,))
            for number in range(self.connections)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def restart_clock(self) -> float:
        """Return the longest statement so far in ms, and forget it."""
        with self._lock:
            longest, self.longest_ms = self.longest_ms, 0.0
        return longest

    def _drive(self, seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(self.url, autocommit=True) as app:
            while not self._stop.is_set():
                began = time.perf_counter()
                try:
                    if chance.random() < 0.3:
                        new = ids.new()
                        app.execute(INSERT, [new])
                        self.inserted.append(new)
                    else:
                        app.execute(UPDATE, [chance.randint(1, self.rows)])
                except psycopg.Error as error:
                    self.failures.append(f"{error.sqlstate}: {type(error).__name__}")
                elapsed = (time.perf_counter() - began) * 1_000
                with self._lock:
                    self.done += 1
                    self.longest_ms = max(self.longest_ms, elapsed)
                time.sleep(0.001)
