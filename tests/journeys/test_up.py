"""`bedplate up` as people meet it: real processes, real signals, a folder of its own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from bedplate.cli import running
from bedplate.kernel import embedded
from tests.cli.terminal import Running, Terminal, until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in a project that `up --exit` made."""
    folder = tmp_path_factory.mktemp("journey") / "Shop"
    folder.mkdir()
    terminal = Terminal(folder)
    made = terminal.run("up", "--exit", "--json")
    assert made.code == 0, made.stderr
    (folder / "first.json").write_text(made.stdout)
    yield terminal
    embedded.purge(folder)


@pytest.fixture
def started(shop: Terminal) -> Iterator[list[Running]]:
    """What a test starts, ended when it leaves it behind."""
    left: list[Running] = []
    yield left
    for each in left:
        each.process.kill()
        each.process.wait()
    embedded.stop(shop.folder)


def up(shop: Terminal, started: list[Running], *arguments: str) -> tuple[Running, Any]:
    process = shop.start("up", "--port", "0", "--json", *arguments)
    started.append(process)
    return process, process.document()


def server_runs(shop: Terminal) -> bool:
    return embedded.status(shop.folder).running


def attached(shop: Terminal) -> embedded.Attachment:
    return embedded.attach(shop.folder, major=embedded.status(shop.folder).major or 18)


def app_url(shop: Terminal) -> str:
    attachment = attached(shop)
    try:
        return attachment.url()
    finally:
        attachment.detach()


def users(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM auth.users").fetchone()
    assert row is not None
    return int(row[0])


def is_gone(shop: Terminal) -> bool:
    status = embedded.status(shop.folder)
    return not status.running and status.attached == ()


def test_up_on_a_new_folder_does_everything_once(shop: Terminal) -> None:
    first = json.loads((shop.folder / "first.json").read_text())
    assert first["database"]["created"]
    assert first["database"]["database"] == "shop"
    assert first["samples"] == {"auth": 8, "credits": 19}
    assert first["modules"]["auth"] == "0002_audit_logs"
    assert not server_runs(shop)
    again = shop.run("up", "--exit", "--json")
    assert again.code == 0
    assert again.document["applied"] == []
    assert again.document["samples"] == {}
    assert again.document["database"]["created"] is False
    assert not server_runs(shop)
    secrets = (shop.folder / ".bedplate" / "secrets.toml").read_text()
    for password in [line.split('"')[1] for line in secrets.splitlines()]:
        assert password not in again.stdout + again.stderr + str(first)


def test_every_password_is_as_dear_to_guess_as_postgresql_makes_it(shop: Terminal) -> None:
    attachment = attached(shop)
    try:
        with psycopg.connect(attachment.url("admin", "postgres")) as admin:
            query = "SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"
            verifiers = [verifier for (verifier,) in admin.execute(query)]
    finally:
        attachment.detach()
    assert len(verifiers) == 4  # the administrator, owner, app and reader
    assert all(verifier.startswith("SCRAM-SHA-256$4096:") for verifier in verifiers)


def test_a_second_up_attaches_and_the_last_one_stops_the_server(
    shop: Terminal, started: list[Running]
) -> None:
    first, said = up(shop, started)
    assert httpx.get(said["health"]).json()["components"]["embedded"]["attached"] == 1
    assert httpx.get(said["health"].replace("/health", "/ready")).json() == {"status": "ready"}
    port = str(httpx.URL(said["health"]).port)
    second = shop.start("up", "--port", port, "--json")
    started.append(second)
    other = second.document()
    assert other["health"] == said["health"]
    assert other["health_process"] == first.process.pid
    until(lambda: len(embedded.status(shop.folder).attached) == 2)
    assert {each.pid: each.port for each in running.find(shop.folder)} == {
        first.process.pid: int(port),
        second.process.pid: None,
    }
    assert first.end(signal.SIGTERM) == 0
    assert users(app_url(shop)) == 8
    assert second.end(signal.SIGINT) == 0
    assert is_gone(shop)
    assert not list((shop.folder / ".bedplate").glob("up-*"))


def test_a_killed_up_leaves_the_server_and_the_next_one_attaches(
    shop: Terminal, started: list[Running]
) -> None:
    killed, _ = up(shop, started)
    postmaster = embedded.status(shop.folder).pid
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert server_runs(shop)
    following, _ = up(shop, started)
    assert embedded.status(shop.folder).pid == postmaster
    assert users(app_url(shop)) == 8
    assert following.end(signal.SIGTERM) == 0
    assert is_gone(shop)


def test_a_killed_server_comes_back_with_every_acknowledged_row(
    shop: Terminal, started: list[Running]
) -> None:
    restarting, said = up(shop, started)
    url = app_url(shop)
    postmaster = embedded.status(shop.folder).pid
    assert postmaster is not None
    acknowledged = _insert(url, 200)
    os.kill(postmaster, signal.SIGKILL)
    until(lambda: embedded.status(shop.folder).pid not in (None, postmaster))
    acknowledged |= _insert(url, 200)
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT email FROM auth.users").fetchall()
        assert acknowledged <= {email for (email,) in rows}
        connection.execute("DELETE FROM auth.users WHERE email LIKE 'load-%'")
    until(lambda: httpx.get(said["health"]).status_code == 200)
    assert restarting.end(signal.SIGTERM) == 0
    assert any("started again" in line for line in restarting.stderr)
    assert is_gone(shop)


def _insert(url: str, number: int) -> set[str]:
    """Insert rows one by one, connecting again whenever the server goes away."""
    acknowledged: set[str] = set()
    attempt = 0
    while len(acknowledged) < number:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while len(acknowledged) < number:
                    attempt += 1
                    email = f"load-{os.getpid()}-{id(acknowledged)}-{attempt}@example.com"
                    connection.execute(
                        "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), %s)", [email]
                    )
                    acknowledged.add(email)
        except psycopg.OperationalError:
            continue
    return acknowledged


def test_up_may_be_stopped_as_soon_as_it_says_that_it_is_up(
    shop: Terminal, started: list[Running]
) -> None:
    said_up, _ = up(shop, started)
    assert said_up.end(signal.SIGTERM) == 0
    assert is_gone(shop)


def test_detach_leaves_it_running_until_down(shop: Terminal, started: list[Running]) -> None:
    said = shop.run("up", "--detach", "--port", "0", "--json").document
    assert httpx.get(said["health"]).status_code == 200
    assert shop.run("up", "--detach", "--json").document["health"] == said["health"]
    (serving,) = running.find(shop.folder)
    assert serving.detached
    assert serving.pid == said["health_process"]
    foreground, _ = up(shop, started)
    down = shop.run("down", "--json").document
    assert down["stopped"]
    assert sorted(down["ended"]) == sorted([serving.pid, foreground.process.pid])
    assert foreground.process.wait(60) == 0
    assert is_gone(shop)
