"""What the server survives: killed owners, killed servers, half-done work."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.kernel import embedded, processes
from bedplate.kernel.embedded import server
from bedplate.kernel.errors import ServerStartFailed
from tests.kernel.embedded.elsewhere import (
    area,
    attach,
    elsewhere,
    kill_server,
    stays_attached,
    told,
    words,
    write,
)


def test_the_server_survives_a_killed_owner(project: Path) -> None:
    with elsewhere(stays_attached(project)) as (child, pipe):
        told(pipe)
        child.kill()
        child.join()
    assert embedded.status(project).running
    assert embedded.status(project).attached == ()
    attachment = attach(project)
    assert not attachment.started_server
    attachment.detach()
    assert not embedded.status(project).running


def test_a_killed_server_comes_back_with_what_was_committed(project: Path) -> None:
    attachment = attach(project)
    write(attachment.url("owner"), "kept")
    idle = psycopg.connect(attachment.url())
    assert not attachment.ensure_running()
    kill_server(project)
    assert attachment.ensure_running()
    assert attachment.alive()
    assert "kept" in words(attachment.url("owner"))
    idle.close()


def test_a_backend_too_busy_to_notice_is_ended(project: Path) -> None:
    attachment = attach(project)
    busy = psycopg.connect(attachment.url(), autocommit=True)
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e12)")
    data = area(project) / "data"
    wait_until_at_work(attachment.url("admin"), busy.info.backend_pid)
    kill_server(project)
    assert busy.info.backend_pid in processes.at_work_in(data.resolve(), "postgres")
    assert attachment.ensure_running()
    assert not processes.alive(busy.info.backend_pid)
    busy.close()


def wait_until_at_work(admin_url: str, pid: int) -> None:
    """One that has not taken its statement up yet still listens, and sees its server end."""
    deadline = time.monotonic() + 30
    state = "SELECT state FROM pg_stat_activity WHERE pid = %s"
    with psycopg.connect(admin_url, autocommit=True) as watching:
        while watching.execute(state, [pid]).fetchone() != ("active",):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_server_out_of_sight_is_never_joined_by_a_second(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ORPHANS_LIMIT_S", 0.1)
    # As from another container: its processes are invisible here, its lock is not.
    with (area(project) / "server.lock").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(ServerStartFailed, match="another container"):
            attach(project)
    assert attach(project).alive()


def test_the_last_child_of_a_killed_server_may_hold_its_port_for_a_moment(project: Path) -> None:
    listening = socket.create_server(("127.0.0.1", embedded.status(project).port or 0))
    guard = (area(project) / "server.lock").open()
    fcntl.flock(guard, fcntl.LOCK_EX)

    def end() -> None:
        listening.close()
        guard.close()

    ending = threading.Timer(0.3, end)
    ending.start()
    assert attach(project).alive()
    ending.join()


def test_a_killed_server_whose_parent_never_looks_is_replaced(project: Path) -> None:
    with elsewhere(stays_attached(project)) as (_, pipe):
        told(pipe)
        # The other process started the server and sleeps: the dead server stays a zombie.
        kill_server(project)
        attachment = attach(project)
        assert attachment.started_server
        assert attachment.alive()


def test_a_stale_pid_of_another_program_does_not_count(project: Path) -> None:
    port = embedded.status(project).port
    stale = area(project) / "data" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n0\n{port}\n/tmp\n127.0.0.1\n0\nready\n")
    assert not embedded.status(project).running
    attachment = attach(project)
    assert attachment.started_server


def test_a_server_stopped_on_purpose_stays_down(project: Path) -> None:
    attachment = attach(project)
    assert not attachment.stopped
    embedded.stop(project)
    assert attachment.stopped
    assert not attachment.ensure_running()
    other = attach(project)
    assert not attachment.stopped
    other.detach()


def never_has_its_data(folder: Path) -> Callable[[Connection], None]:
    """Attach, but stay at initdb even once it is done: whoever looks late finds its draft too."""

    def work(pipe: Connection) -> None:
        run = processes.run

        def run_and_stay(argv: Sequence[str], **how: Any) -> processes.Finished:
            finished = run(argv, **how)
            if argv[0].endswith("initdb"):
                time.sleep(600)
            return finished

        pytest.MonkeyPatch().setattr(processes, "run", run_and_stay)
        attach(folder)

    return work


def test_a_half_finished_initdb_is_done_again(tmp_path: Path) -> None:
    with elsewhere(never_has_its_data(tmp_path)) as (child, _):
        while not (found := list(drafts(tmp_path))):
            time.sleep(0.01)
        child.kill()
        child.join()
    assert found
    attachment = attach(tmp_path)
    assert attachment.created_database
    attachment.detach()
    deadline = time.monotonic() + 10
    while list(drafts(tmp_path)) and time.monotonic() < deadline:
        attach(tmp_path).detach()  # the orphaned initdb may have gone on for a moment
    embedded.purge(tmp_path)
    assert list(tmp_path.iterdir()) == []


def drafts(folder: Path) -> Iterator[Path]:
    data = embedded.status(folder).data_folder
    return data.parent.glob("data.new-*/data/PG_VERSION") if data else iter(())
