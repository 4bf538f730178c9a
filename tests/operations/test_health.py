"""Health on a real database: what it says, how soon, and how often it asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from starlette.applications import Starlette

from bedplate.integrations.health import routes
from bedplate.kernel import registry as registries
from bedplate.kernel.database import Database
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings
from bedplate.operations import migrate
from bedplate.operations.health import Health
from bedplate.operations.health import health as health_file
from bedplate.project import database as make_database
from tests.databases import TestDatabase

LIMIT_S = health_file.ANSWER_LIMIT_S
PATIENT_S = 30.0


@pytest.fixture
def registry() -> Registry:
    return registries.load(["auth"])


@pytest.fixture
async def db(database: TestDatabase, registry: Registry, tmp_path: Path) -> AsyncIterator[Database]:
    made = make_database(Settings(folder=tmp_path), registry, database.app_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def migrated(database: TestDatabase, registry: Registry) -> None:
    migrate.apply_unproven(registry, owner_url=database.owner_url, app_url=database.app_url)


@pytest.fixture
def health(db: Database, registry: Registry) -> Health:
    return Health(db, registry, components={"disk": lambda: {"free": 1}})


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=routes(health)))
    async with httpx.AsyncClient(transport=transport, base_url="http://health") as made:
        yield made


@contextmanager
def locked(database: TestDatabase) -> Iterator[None]:
    """Nobody can read a revision in here: a database that does not answer."""
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("LOCK TABLE auth.schema_version")
        yield


def forget(health: Health) -> None:
    """Let more time pass than an answer is given again."""
    health._found = None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Health]:
    """One entry for each question that was put to a database."""
    found: list[Health] = []
    ask = Health._ask

    def asking(self: Health) -> Any:
        found.append(self)
        return ask(self)

    monkeypatch.setattr(Health, "_ask", asking)
    return found


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time, but where the limit is what is tested."""
    monkeypatch.setattr(health_file, "ANSWER_LIMIT_S", PATIENT_S)


@pytest.mark.usefixtures("migrated")
async def test_a_current_database_is_ready_and_healthy(client: httpx.AsyncClient) -> None:
    live, ready, report = [await client.get(path) for path in ("/live", "/ready", "/health")]
    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert report.status_code == 200
    document = report.json()
    assert document["status"] == "healthy"
    assert document["timestamp"]
    assert "error" not in document
    assert document["components"]["modules"]["auth"]["current"] == "0002_audit_logs"
    assert document["components"]["disk"] == {"free": 1}
    assert document["components"]["pool"]["pool_size"] >= 1


@pytest.mark.usefixtures("migrated")
async def test_however_often_it_is_probed_the_database_is_asked_once_a_second(
    client: httpx.AsyncClient, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert health_file.FRESH_NS == 1_000_000_000
    # However long the second lasts on a busy machine.
    monkeypatch.setattr(health_file, "FRESH_NS", 3_600 * 1_000_000_000)
    before = db.leaf.round_trips
    await asyncio.gather(*(client.get("/ready") for _ in range(50)))
    await client.get("/health")
    assert db.leaf.round_trips == before + 1


@pytest.mark.usefixtures("migrated")
async def test_a_database_that_does_not_answer_is_not_ready_within_the_limit(
    client: httpx.AsyncClient,
    health: Health,
    database: TestDatabase,
    asked: list[Health],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_file, "ANSWER_LIMIT_S", LIMIT_S)
    with locked(database):
        started = time.monotonic()
        answers = await asyncio.gather(client.get("/ready"), client.get("/ready"))
        # Without a limit there would be no answer for as long as the lock is held.
        assert 0.9 < time.monotonic() - started < PATIENT_S
        assert len(asked) == 1, "one question, and its limit, for both"
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json() == {
                "status": "not_ready",
                "reason": "The database did not answer within 1 s.",
            }
        forget(health)
        assert (await client.get("/live")).status_code == 200
        assert len(asked) == 1, "to be alive asks nothing"
    # The question that hung was cancelled: it neither lingers nor stands in the way.
    assert health._asking is not None
    assert await asyncio.wait([health._asking], timeout=PATIENT_S) == ({health._asking}, set())
    assert health._asking.cancelled()
    monkeypatch.setattr(health_file, "ANSWER_LIMIT_S", PATIENT_S)
    assert (await client.get("/ready")).status_code == 200


@pytest.mark.usefixtures("migrated")
async def test_a_question_that_is_taken_back_does_not_answer_for_the_next(
    client: httpx.AsyncClient, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()

    async def unanswered(self: Health) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()  # the driver asks the server to cancel it, and waits

    with monkeypatch.context() as silent:
        silent.setattr(Health, "_ask", unanswered)
        silent.setattr(health_file, "ANSWER_LIMIT_S", 0.05)
        assert (await client.get("/ready")).status_code == 503
    forget(health)
    again = asyncio.create_task(client.get("/ready"))
    await asyncio.sleep(0.05)
    assert not again.done()
    may_end.set()
    assert (await again).status_code == 200


async def test_a_database_that_was_not_migrated_is_not_ready(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ready")
    assert answer.status_code == 503
    assert "bedplate migrate apply" in answer.json()["reason"]


@pytest.mark.usefixtures("migrated")
async def test_a_line_behind_the_code_is_not_ready(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("UPDATE auth.schema_version SET version_num = '0000_before'")
    answer = await client.get("/ready")
    assert answer.status_code == 503
    assert "0000_before" in answer.json()["reason"]


@pytest.mark.usefixtures("migrated")
async def test_a_lost_database_is_told_without_its_address(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    with psycopg.connect(database.admin_url.replace(f"/{database.name}", "/postgres")) as admin:
        admin.autocommit = True
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [database.name],
        )
    answer = await client.get("/health")
    assert answer.status_code == 503
    document = answer.json()
    assert document["status"] == "unhealthy"
    assert document["error"]
    password = psycopg.conninfo.conninfo_to_dict(database.app_url)["password"]
    assert str(password) not in answer.text
    assert "127.0.0.1" not in answer.text
