"""Health on a real database: what it says, how soon, and how often it asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

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
from bedplate.project import database as make_database
from tests.databases import TestDatabase


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
    client: httpx.AsyncClient, db: Database
) -> None:
    before = db.leaf.round_trips
    await asyncio.gather(*(client.get("/ready") for _ in range(50)))
    await client.get("/health")
    assert db.leaf.round_trips == before + 1


@pytest.mark.usefixtures("migrated")
async def test_a_database_that_does_not_answer_is_not_ready_within_the_limit(
    client: httpx.AsyncClient, health: Health, database: TestDatabase
) -> None:
    with locked(database):
        started = time.monotonic()
        answers = await asyncio.gather(client.get("/ready"), client.get("/ready"))
        assert 0.9 < time.monotonic() - started < 1.5
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json() == {
                "status": "not_ready",
                "reason": "The database did not answer within 1 s.",
            }
        started = time.monotonic()
        assert (await client.get("/live")).status_code == 200
        assert time.monotonic() - started < 0.5
    forget(health)
    # The question that hung was cancelled: it neither lingers nor stands in the way.
    await asyncio.sleep(0.1)
    forget(health)
    assert (await client.get("/ready")).status_code == 200


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
