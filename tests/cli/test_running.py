from __future__ import annotations

import os
from pathlib import Path

import pytest

from bedplate.cli import running
from bedplate.cli.running import Up
from bedplate.cli.serving import reserve
from bedplate.kernel.errors import PortTaken


def test_an_up_is_found_for_as_long_as_it_runs(tmp_path: Path) -> None:
    up = Up(os.getpid(), 7377, detached=False)
    with running.announced(tmp_path, up):
        assert running.find(tmp_path) == (up,)
    assert running.find(tmp_path) == ()
    assert (tmp_path / ".bedplate" / ".gitignore").read_text() == "*\n"


def test_a_killed_up_is_not_found(tmp_path: Path) -> None:
    running.prepare(tmp_path)
    (tmp_path / ".bedplate" / "up-1").write_text('{"pid": 1, "port": 7377, "detached": true}')
    assert running.find(tmp_path) == ()


def test_a_port_is_ours_or_a_stranger_s(tmp_path: Path) -> None:
    first = reserve(tmp_path, 0)
    assert first.listening is not None
    with first.listening, pytest.raises(PortTaken) as refused:
        reserve(tmp_path, first.number)
    assert str(first.number) in str(refused.value)
    again = reserve(tmp_path, first.number)
    assert again.listening is not None
    with again.listening, running.announced(tmp_path, Up(os.getpid(), again.number, False)):
        other = reserve(tmp_path, again.number)
    assert other.listening is None
    assert other.server is not None
    assert other.server.pid == os.getpid()
