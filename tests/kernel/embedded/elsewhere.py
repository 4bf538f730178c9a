"""What the tests of the embedded server share: this process, and others beside it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import embedded, processes

AS_ROOT = os.geteuid() == 0
# Forked, not spawned: another user may be unable to read the interpreter's own files.
FORK = multiprocessing.get_context("fork")
NOBODY = processes.first_user(("nobody",)) if AS_ROOT else processes.current_user()
ATTACHED: list[embedded.Attachment] = []
only_root = pytest.mark.skipif(not AS_ROOT, reason="only root's server runs as someone else")


def attach(folder: Path, *, major: int = 18, database: str | None = None) -> embedded.Attachment:
    attachment = embedded.attach(folder, major=major, database=database, durable=False)
    ATTACHED.append(attachment)
    return attachment


def area(folder: Path) -> Path:
    found = embedded.status(folder).data_folder
    assert found is not None
    return found.parent


@contextmanager
def elsewhere(
    work: Callable[[Connection], None], *, plain: bool = False
) -> Generator[tuple[BaseProcess, Connection]]:
    """Run `work` in another process, as a plain user when asked; killed at the end."""
    ours, theirs = FORK.Pipe()

    def body() -> None:
        if plain and AS_ROOT and NOBODY is not None:
            os.setgroups([])
            os.setgid(NOBODY.gid)
            os.setuid(NOBODY.uid)
        work(theirs)

    child = FORK.Process(target=body, daemon=True)
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()


def told(connection: Connection, seconds: float = 30) -> object:
    assert connection.poll(seconds), "the other process said nothing"
    return connection.recv()


def stays_attached(folder: Path) -> Callable[[Connection], None]:
    """Attach, say so, leave when told to."""

    def work(pipe: Connection) -> None:
        attachment = attach(folder)
        pipe.send(attachment.started_server)
        pipe.recv()
        attachment.detach()
        pipe.send("left")

    return work


def write(url: str, word: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])


def words(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT word FROM words ORDER BY word")]


def pid_of(folder: Path) -> int:
    pid = embedded.status(folder).pid
    assert pid is not None
    return pid


def kill_server(folder: Path) -> None:
    os.kill(pid_of(folder), signal.SIGKILL)
    while embedded.status(folder).running:
        time.sleep(0.01)
