"""How far a backup or a restore is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being done, and how much of it is done; `total` is None where nobody can know."""

    doing: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]
"""Told of each step forward; may be called from a thread of its own."""


def tell(on_progress: OnProgress | None, doing: str, done: int, total: int | None) -> None:
    """Say how far it is, where somebody listens."""
    if on_progress is not None:
        on_progress(Progress(doing, done, total))


@contextmanager
def watching(on_progress: OnProgress | None, look: Callable[[], Progress]) -> Generator[None]:
    """Look every 0.2 s how far a program of PostgreSQL's is, which does not say so itself."""
    if on_progress is None:
        yield
        return
    over = Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            on_progress(look())

    watcher = Thread(target=watch, name="backup-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
