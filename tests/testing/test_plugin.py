"""The plugin in a project of its own, as whoever installs Bedplate has it."""

from __future__ import annotations

import pytest

from bedplate.testing import Server

pytest_plugins = ["pytester"]

COMMITS = """
from bedplate.modules.auth import User, create_user, users

async def commits(project):
    assert await users.count(project.db) == 0
    async with project.db.transaction() as tx:
        await create_user(tx, User(email="ada@example.com"))
    assert await users.count(project.db) == 1
"""
ASYNCIO = """
import pytest
from commits import commits

@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(3))
async def test_commits(bedplate_project, number):
    await commits(bedplate_project)

@pytest.mark.asyncio
async def test_rolls_back(bedplate_tx, bedplate_factories):
    from bedplate.modules.auth import User
    assert (await bedplate_factories(User).create(bedplate_tx)).email == "user1@example.com"
"""
ANYIO = ASYNCIO.replace("mark.asyncio", "mark.anyio").replace(
    "from commits", 'anyio_backend = pytest.fixture(lambda: "asyncio")\nfrom commits'
)
SYNC = """
from bedplate.integrations.blocking import wait
from commits import commits

def test_commits(bedplate_blocking_project):
    wait(commits(bedplate_blocking_project))
"""


@pytest.fixture
def app(
    pytester: pytest.Pytester, bedplate_server: Server, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    monkeypatch.setenv("BEDPLATE_TEST_DATABASE_URL", bedplate_server.admin_url)
    pytester.makefile(".toml", bedplate='modules = ["auth"]')
    pytester.makeini("[pytest]\npythonpath = .")
    pytester.makepyfile(commits=COMMITS)
    return pytester


def test_with_pytest_asyncio(app: pytest.Pytester) -> None:
    app.makepyfile(ASYNCIO)
    app.runpytest_subprocess("-p", "no:anyio").assert_outcomes(passed=4)


def test_with_anyio(app: pytest.Pytester) -> None:
    app.makepyfile(ANYIO)
    app.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=4)


def test_with_neither(app: pytest.Pytester) -> None:
    app.makepyfile(SYNC)
    result = app.runpytest_subprocess("-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(passed=1)


def test_with_several_workers(app: pytest.Pytester) -> None:
    app.makepyfile(ASYNCIO)
    app.runpytest_subprocess("-n", "2").assert_outcomes(passed=4)


def test_a_run_that_asks_for_nothing_starts_nothing(app: pytest.Pytester) -> None:
    app.makepyfile("def test_nothing(): pass")
    (app.path / "bedplate.toml").write_text("this is no project of Bedplate's")
    app.runpytest_subprocess().assert_outcomes(passed=1)
