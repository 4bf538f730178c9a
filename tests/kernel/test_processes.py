from __future__ import annotations

import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from bedplate.kernel import processes

SHELL = "/bin/sh"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_run_returns_what_a_program_said() -> None:
    finished = processes.run(
        [SHELL, "-c", 'cat; echo "$WORD" >&2; exit 3'],
        timeout_s=10,
        env={"WORD": "hush"},
        input="hello",
    )
    assert finished == processes.Finished(3, "hello", "hush\n")


def test_run_kills_a_program_that_takes_too_long() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        processes.run(["/bin/sleep", "60"], timeout_s=0.2)
    assert time.monotonic() - started < 30


def test_run_says_when_there_is_no_such_program() -> None:
    with pytest.raises(FileNotFoundError):
        processes.run(["/no/such/program"], timeout_s=1)


def test_a_started_program_has_a_session_and_a_private_log_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pid = processes.start(
        [SHELL, "-c", "echo ready; exec sleep 60"], log=log, guard=tmp_path / "guard"
    )
    try:
        assert os.getsid(pid) == pid
        assert processes.alive(pid)
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert processes.working_folder(pid) == Path("/")
    finally:
        assert processes.terminate(pid, [(signal.SIGKILL, 30)])
    assert not processes.alive(pid)


def test_a_guard_is_held_by_the_program_and_all_its_children(tmp_path: Path) -> None:
    log, guard = tmp_path / "log", tmp_path / "guard"
    told = tmp_path / "child"
    # No third program (no `mv`): it would hold the guard too, for as long as it takes to end.
    script = f"/bin/sleep 60 & echo $! > {told}; : > {told}.whole; wait"
    pid = processes.start([SHELL, "-c", script], log=log, guard=guard)
    wait_for(tmp_path / "child.whole")
    child = int(told.read_text())
    assert processes.terminate(pid, [(signal.SIGKILL, 30)])
    with pytest.raises(BlockingIOError):
        processes.start(["/bin/true"], log=log, guard=guard)
    assert processes.terminate(child, [(signal.SIGKILL, 30)])
    processes.start(["/bin/true"], log=log, guard=guard)


def test_terminate_goes_on_to_the_next_signal(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    script = f"trap '' TERM; touch {deaf}; while true; do sleep 0.05; done"
    pid = processes.start([SHELL, "-c", script], log=tmp_path / "log", guard=tmp_path / "guard")
    wait_for(deaf)
    assert not processes.terminate(pid, [(signal.SIGTERM, 0.2)])
    assert processes.terminate(pid, [(signal.SIGTERM, 0.1), (signal.SIGKILL, 30)])


def test_terminate_is_content_with_a_process_that_is_gone(tmp_path: Path) -> None:
    pid = processes.start(["/bin/true"], log=tmp_path / "log", guard=tmp_path / "guard")
    while processes.alive(pid):
        time.sleep(0.01)
    assert processes.terminate(pid, [(signal.SIGTERM, 1)])


def test_a_zombie_is_not_alive(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    # The child's parent sees it end and leaves it there: a zombie, and not ours to reap.
    script = (
        "import os, sys, time\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0)\n"
        "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
        "open(sys.argv[1] + '.draft', 'w').write(str(pid))\n"
        "os.rename(sys.argv[1] + '.draft', sys.argv[1])\n"
        "time.sleep(60)\n"
    )
    parent = processes.start(
        [sys.executable, "-c", script, str(told)], log=tmp_path / "log", guard=tmp_path / "guard"
    )
    wait_for(told)
    try:
        assert not processes.alive(int(told.read_text()))
    finally:
        processes.terminate(parent, [(signal.SIGKILL, 30)])


def test_interact_hands_over_and_returns_the_exit_code() -> None:
    before = signal.getsignal(signal.SIGINT)
    # Ctrl-C reaches the whole terminal: it ends the program, not us.
    assert processes.interact([SHELL, "-c", f"kill -INT {os.getpid()}; exit 7"]) == 7
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become someone else")
def test_run_as_another_user_drops_every_right() -> None:
    user = processes.first_user(("no-such-user", "nobody"))
    assert user is not None
    finished = processes.run(["/usr/bin/id"], timeout_s=10, user=user)
    assert f"uid={user.uid}" in finished.stdout
    assert "(root)" not in finished.stdout
