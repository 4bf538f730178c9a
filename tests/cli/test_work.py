"""`bedplate work` as people meet it, and the worker that `up` runs beside everything else."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from bedplate.kernel import embedded
from tests.cli.terminal import Running, Terminal, until

TOML = 'modules = ["auth", "corner.desk"]\nwork_grace_ms = 300\n'
DESK = """
import asyncio
from bedplate.kernel.jobs import Job
from bedplate.kernel.module import ModuleManifest

async def file(db, running):
    if running.payload == "broken":
        raise ValueError(running.payload)
    if running.payload == "long":
        await asyncio.sleep(60)

FILE = Job(name="desk.file", payload=str, run=file, attempts_max=1)
MODULE = ModuleManifest(name="desk", package="corner.desk", models=(), jobs=(FILE,))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in a project whose module `desk` has a job."""
    folder = tmp_path_factory.mktemp("work") / "Shop"
    desk = folder / "corner" / "desk"
    (desk / "migrations").mkdir(parents=True)
    (folder / "bedplate.toml").write_text(TOML)
    (folder / "corner" / "__init__.py").touch()
    (desk / "__init__.py").write_text(DESK)
    terminal = Terminal(folder)
    made = terminal.run("up", "--exit", "--json")
    assert made.code == 0, made.stderr
    yield terminal
    embedded.purge(folder)


@pytest.fixture
def url(shop: Terminal) -> Iterator[str]:
    """The app's address, of an empty queue on a server that runs."""
    attachment = embedded.attach(shop.folder, major=embedded.status(shop.folder).major or 18)
    try:
        with psycopg.connect(attachment.url(), autocommit=True) as connection:
            connection.execute("DELETE FROM bedplate.jobs")
        yield attachment.url()
    finally:
        attachment.detach()


def ask(url: str, *payloads: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [
            str(
                connection.execute(
                    "INSERT INTO bedplate.jobs (id, kind, payload, max_attempts) "
                    "VALUES (gen_random_uuid(), 'desk.file', to_jsonb(%s::text), 1) RETURNING id",
                    [payload],
                ).fetchone()[0]  # type: ignore[index]
            )
            for payload in payloads
        ]


def states(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT state FROM bedplate.jobs WHERE kind = 'desk.file'")
        return [row[0] for row in rows.fetchall()]


def test_once_works_until_nothing_is_due_and_tells_of_dead_letters(
    shop: Terminal, url: str
) -> None:
    ask(url, "one", "two")
    said = shop.run("work", "--once", "--json")
    assert (said.code, said.document["succeeded"] >= 2) == (0, True), said.stderr
    [dead] = ask(url, "broken")
    said = shop.run("work", "--once", "--json")
    assert (said.code, said.document["failed"]) == (1, 1)
    assert any("failed for good" in line for line in said.lines)
    [listed] = shop.run("work", "list", "--state", "FAILED", "--json").document["jobs"]
    assert (listed["id"], listed["error_code"]) == (dead, "exception")
    assert "broken" not in json.dumps(listed)
    table = shop.run("work", "list").stdout
    assert "desk.file" in table
    assert "ValueError" in table
    assert shop.run("work", "retry", dead, "--json").document["state"] == "PENDING"
    assert shop.run("work", "cancel", dead, "--json").document["state"] == "CANCELLED"
    said = shop.run("work", "retry", dead, "--json")
    assert said.code == 2
    assert "CANCELLED" in said.document["error"]["message"]
    assert shop.run("work", "--once").stdout == "Nothing was due.\n"


def test_a_worker_works_until_it_is_told_to_stop(shop: Terminal, url: str) -> None:
    worker = shop.start("work", "--json")
    try:
        ask(url, "one", "long")
        until(lambda: sorted(states(url)) == ["RUNNING", "SUCCEEDED"])
        ask(url, "two")
        until(lambda: sorted(states(url)) == ["RUNNING", "SUCCEEDED", "SUCCEEDED"])
        worker.process.send_signal(signal.SIGTERM)
        document = worker.document()
        assert worker.process.wait(20) == 0
    finally:
        worker.process.kill()
    assert document["succeeded"] >= 2
    assert document["released"] == 1
    assert sorted(states(url)) == ["PENDING", "SUCCEEDED", "SUCCEEDED"]


@pytest.mark.parametrize("option", ["--work", "--no-work"])
def test_up_runs_a_worker_unless_told_not_to(shop: Terminal, url: str, option: str) -> None:
    ask(url, "one")
    up: Running = shop.start("up", "--port", "0", "--json", option)
    try:
        health = up.document()["health"]
        if option == "--work":
            until(lambda: states(url) == ["SUCCEEDED"])
        components = httpx.get(health).json()["components"]
        assert ("work" in components) is (option == "--work")
        assert components["embedded"]["attached"] == 2
        assert states(url) == ["SUCCEEDED" if option == "--work" else "PENDING"]
        assert up.end(signal.SIGTERM) == 0
        assert up.stderr == [line for line in up.stderr if "worker" not in line]
    finally:
        up.process.kill()
        up.process.wait()


def test_wrong_settings_stop_a_worker_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "bedplate.toml").write_text("work_concurrency = 0\n")
    said = Terminal(tmp_path).run("work", "--once", "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "settings")
    assert "work_concurrency" in said.stderr
