"""Traffic: connections of the app's role that insert and update while a migration runs."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType

import psycopg

from bedplate.kernel import ids

INSERT = "INSERT INTO shop.items (id, price) VALUES (%s, 1.11)"
UPDATE = "UPDATE shop.items SET price = price + 0.01 WHERE id = md5(%s::text)::uuid"
END_LIMIT_S = 60


@dataclass
class Seen:
    """What the traffic has met since somebody last asked."""

    done: int = 0
    inserted: int = 0
    longest_ms: float = 0.0
    failures: list[str] = field(default_factory=list[str])


class Traffic:
    """Statements in a loop on `connections` threads, each timed, over `rows` rows.

    They run in a process of their own: in ours, the interpreter would take turns between them and
    the migration, and each would wait for the other where no database makes them.
    """

    def __init__(self, url: str, connections: int, rows: int) -> None:
        self._url = url
        self._connections = connections
        self._rows = rows
        self._asking, answering = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(
            target=self._run, args=(answering,)
        )

    def __enter__(self) -> Traffic:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.is_alive():
            self._asking.send("end")
        self._process.join(END_LIMIT_S)

    def look(self) -> Seen:
        """Return what it has met since the last look."""
        self._asking.send("look")
        seen = self._asking.recv()
        assert isinstance(seen, Seen)
        return seen

    def end(self) -> Seen:
        """Stop after the statements under way, and return what it has met since the last look."""
        self._asking.send("end")
        seen = self._asking.recv()
        assert isinstance(seen, Seen)
        self._process.join(END_LIMIT_S)
        return seen

    def _run(self, asked: Connection) -> None:
        self._seen = Seen()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threads = [
            threading.Thread(target=self._drive, args=(number,))
            for number in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        while asked.recv() == "look":
            asked.send(self._restart())
        self._stop.set()
        for thread in threads:
            thread.join()
        asked.send(self._restart())

    def _restart(self) -> Seen:
        with self._lock:
            seen, self._seen = self._seen, Seen()
        return seen

    def _drive(self, seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(self._url, autocommit=True) as app:
            while not self._stop.is_set():
                inserts = chance.random() < 0.3
                failure = None
                began = time.perf_counter()
                try:
                    if inserts:
                        app.execute(INSERT, [ids.new()])
                    else:
                        app.execute(UPDATE, [chance.randint(1, self._rows)])
                except psycopg.Error as error:
                    failure = f"{error.sqlstate}: {type(error).__name__}"
                elapsed_ms = (time.perf_counter() - began) * 1_000
                with self._lock:
                    seen = self._seen
                    seen.done += 1
                    seen.longest_ms = max(seen.longest_ms, elapsed_ms)
                    if failure is not None:
                        seen.failures.append(failure)
                    elif inserts:
                        seen.inserted += 1
                time.sleep(0.001)
