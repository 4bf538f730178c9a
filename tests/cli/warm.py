"""Commands from a process that has imported them: a start costs a fork, not a second of imports.

What runs is a process like any other, with a folder, an environment, streams and an exit code of
its own. What is about starting itself, or signals a process, starts a real one (`Terminal.start`).

Run as a program, this file is the process that forks: it has no thread, no event loop and no
connection that a fork could break, and it ends when whoever started it does.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from bedplate.cli.commands import COMMANDS
from bedplate.cli.main import main

READ_BYTES = 65_536
INPUT_BYTES_MAX = 60_000
"""What a pipe takes without anybody reading it."""
PRELOADED = tuple(name for name in COMMANDS if name != "demo")
"""The demo imports modules, which other commands may not see unless the project enables them."""


class Warm:
    """The process that forks, as the tests' process sees it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def run(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        environment: Mapping[str, str],
        *,
        input: str,
        limit_s: float,
    ) -> tuple[int, str, str]:
        """Return the exit code (negative for a signal) and what was said on stdout and stderr.

        Returns once nobody holds the streams any more, as `subprocess.run` does. Raises
        TimeoutError, after a SIGKILL, where that takes longer than the limit.
        """
        request = json.dumps([arguments, str(folder), dict(environment)]).encode() + b"\n"
        given = input.encode()
        assert len(given) <= INPUT_BYTES_MAX
        with ExitStack() as ours:
            # stdin is written, the others are read: stdout, stderr and how it ended.
            pipes = [os.pipe() for _ in range(4)]
            os.write(pipes[0][1], given)
            os.close(pipes[0][1])
            for reading, _ in pipes[1:]:
                ours.callback(os.close, reading)
            theirs = [pipes[0][0], *(writing for _, writing in pipes[1:])]
            sent = socket.send_fds(self._requests, [request], theirs)
            self._requests.sendall(request[sent:])
            for each in theirs:
                os.close(each)
            streams = [reading for reading, _ in pipes[1:]]
            pid = int(_line(streams[2]))
            try:
                stdout, stderr, told = _read(streams, limit_s)
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                raise
        return int(told), stdout.decode(), stderr.decode()

    def close(self) -> None:
        """Tell it that nothing more will be asked, and wait until it is gone."""
        # Closing would tell it nothing while a process that the tests have forked is left.
        self._requests.shutdown(socket.SHUT_RDWR)
        self._requests.close()
        self._process.wait()


@functools.cache
def warm() -> Warm:
    """Return this process's own, started when it is first asked for."""
    started = Warm(os.environ)
    atexit.register(started.close)
    return started


def _line(stream: int) -> bytes:
    said = b""
    while not said.endswith(b"\n"):
        read = os.read(stream, 1)
        if not read:
            raise EOFError(said)
        said += read
    return said


def _read(streams: list[int], limit_s: float) -> list[bytes]:
    """Read all to their ends."""
    said = dict.fromkeys(streams, b"")
    deadline = time.monotonic() + limit_s
    with selectors.DefaultSelector() as open_ones:
        for each in streams:
            open_ones.register(each, selectors.EVENT_READ)
        while open_ones.get_map():
            ready = open_ones.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(said)
            for key, _ in ready:
                chunk = os.read(key.fd, READ_BYTES)
                said[key.fd] += chunk
                if not chunk:
                    open_ones.unregister(key.fd)
    return list(said.values())


def _serve(requests: socket.socket) -> tuple[bytes, list[int]]:
    """Wait for requests; return each in a process of its own."""
    while True:
        request, streams, _, _ = socket.recv_fds(requests, READ_BYTES, 4)
        more = request
        while more and not request.endswith(b"\n"):
            more = requests.recv(READ_BYTES)
            request += more
        if not more:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            return request, streams
        for each in streams:
            os.close(each)


def _watch(pid: int, streams: list[int]) -> None:
    """Tell the pid, and when the process has ended, how; and end."""
    for each in streams[:3]:
        os.close(each)
    os.write(streams[3], f"{pid}\n".encode())
    status = os.waitpid(pid, 0)[1]
    # Whoever has killed it does not listen any more.
    with suppress(BrokenPipeError):
        os.write(streams[3], f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: bytes, streams: list[int]) -> None:
    """Have this process be what `bedplate` would be if it had just been started so."""
    arguments, folder, environment = json.loads(request)
    for number, each in enumerate(streams[:3]):
        os.dup2(each, number)
    for each in streams:
        os.close(each)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["bedplate", *arguments]


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(f"bedplate.cli.{name}")
    # What is never collected stays shared by all that are forked.
    gc.freeze()
    # Ctrl-C is meant for the tests, which kill what they wait for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        _watch(child, asked[1])
    _become(*asked)
    main()
