"""Programs: run one to its end, start one that outlives us, and end one.

The only file that starts programs or sends signals.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class UnixUser:
    """A user of the machine, by name and ids."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended; `returncode` is negative for a signal."""

    returncode: int
    stdout: str
    stderr: str


def current_user() -> UnixUser:
    """Return the user this process acts as; one without a name goes by its number."""
    uid = os.geteuid()
    return UnixUser(user_name(uid), uid, os.getegid())


def user_name(uid: int) -> str:
    """Return the name of a user id, or the number where the machine knows no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def first_user(names: Sequence[str]) -> UnixUser | None:
    """Return the first of the named users that the machine has."""
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return UnixUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
    return None


def _popen(
    argv: Sequence[str],
    *,
    user: UnixUser | None,
    env: Mapping[str, str] | None,
    streams: tuple[int, int, int],
    keep: Sequence[int] = (),
) -> subprocess.Popen[str]:
    stdin, stdout, stderr = streams
    # The working folder is the root folder: the caller's own may be closed to `user`.
    return subprocess.Popen(
        argv,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
        env=env,
        cwd="/",
        umask=0o077,
        start_new_session=True,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=keep,
        text=True,
        errors="replace",
    )


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    user: UnixUser | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
) -> Finished:
    """Run a program to its end and return what it printed.

    `env` is the whole environment (None: ours). The program runs in a session of its own, so
    Ctrl-C does not reach it; it is killed after `timeout_s`, with TimeoutError. Raises OSError
    where it cannot be started.
    """
    process = _popen(
        argv,
        user=user,
        env=env,
        streams=(
            subprocess.DEVNULL if input is None else subprocess.PIPE,
            subprocess.PIPE,
            subprocess.PIPE,
        ),
    )
    with process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{argv[0]} ran longer than {timeout_s:g} s") from None
        finally:
            if process.poll() is None:
                process.kill()
    return Finished(process.returncode, stdout, stderr)


def interact(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Hand the terminal to a program, wait for it and return its exit code.

    `env` is the whole environment (None: ours). Ctrl-C is the program's while it runs.
    """
    # A handler of ours, unlike SIG_IGN, is reset to the default in the program.
    handler = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.call(argv, env=env)
    finally:
        signal.signal(signal.SIGINT, handler)


def start(
    argv: Sequence[str],
    *,
    log: Path,
    guard: Path,
    user: UnixUser | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Start a program that outlives us, in a session of its own; return its pid.

    What it prints is appended to `log`; `guard` is a file that it and its children hold locked
    for as long as any of them lives. Both are opened with our rights and mode 0600. Raises
    BlockingIOError while an earlier program holds the guard.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as opened:
        output = os.open(log, flags, 0o600)
        opened.callback(os.close, output)
        held = os.open(guard, flags, 0o600)
        opened.callback(os.close, held)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = _popen(
            argv, user=user, env=env, streams=(subprocess.DEVNULL, output, output), keep=(held,)
        )
    # `alive` reaps it; Popen would warn at its own end that the program still runs.
    process.returncode = 0
    return process.pid


def alive(pid: int) -> bool:
    """Tell whether a process runs; a dead child of ours is reaped, a zombie is not alive."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except ProcessLookupError:
        return False
    try:
        # The state follows the name, which is in brackets and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2][1] != "Z"
    except OSError:
        # Without /proc (macOS) the signal above is all there is to know.
        return not Path("/proc/self/stat").exists()


def working_folder(pid: int) -> Path | None:
    """Return the folder a process works in, or None where that cannot be known."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def at_work_in(folder: Path, program: str) -> tuple[int, ...]:
    """Return the pids of a program's processes that work in a folder (none without /proc)."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = Path(os.readlink(entry / "exe")).name == program
            if named and os.readlink(entry / "cwd") == str(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return tuple(found)


def terminate(pid: int, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal and wait up to its seconds; True once the process is gone."""
    for number, seconds in steps:
        deadline = time.monotonic() + seconds
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        while alive(pid):
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
        else:
            return True
    return not alive(pid)
