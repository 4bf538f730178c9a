"""The worker that runs modules' jobs, and a look into what it has to do."""

from __future__ import annotations

from bedplate.operations.work.book import Book
from bedplate.operations.work.queue import Listed, cancel, listed, retry
from bedplate.operations.work.worker import Note, Tally, Worker, WorkOptions

__all__ = [
    "Book",
    "Listed",
    "Note",
    "Tally",
    "WorkOptions",
    "Worker",
    "cancel",
    "listed",
    "retry",
]
