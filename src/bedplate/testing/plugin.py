"""The pytest plugin: fixtures that do nothing until a test asks for them.

Override `bedplate_settings` in a conftest.py to say which modules the tests need; by default it
is the project of the folder that pytest runs in. The async fixtures belong to pytest-asyncio where
it is installed, else to anyio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest

from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel.settings import Settings, load, project_folder
from bedplate.kernel.transaction import Transaction
from bedplate.project import Project
from bedplate.testing.clock import FrozenClock
from bedplate.testing.databases import Clone, Template
from bedplate.testing.factories import Factories
from bedplate.testing.rollback import RolledBack
from bedplate.testing.server import Server

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    from pytest import fixture as async_fixture  # type: ignore[no-redef]  # noqa: PT013


@pytest.fixture(scope="session")
def bedplate_settings(pytestconfig: pytest.Config) -> Settings:
    """The settings under test; their addresses are replaced by those of test databases."""
    return load(project_folder(pytestconfig.rootpath))


@pytest.fixture(scope="session")
def bedplate_host_sql() -> str:
    """SQL that makes the tables which the settings bind; run before the lines. None by default."""
    return ""


@pytest.fixture(scope="session")
def bedplate_server(bedplate_settings: Settings) -> Generator[Server]:
    """The one server of this run, all of xdist's workers included."""
    with Server.start(bedplate_settings.test) as server:
        yield server


@pytest.fixture(scope="session")
def bedplate_template(
    bedplate_server: Server, bedplate_settings: Settings, bedplate_host_sql: str
) -> Generator[Template]:
    """The database that all of this worker's are cloned from, every line applied."""
    template = Template(bedplate_server, bedplate_settings, bedplate_host_sql)
    yield template
    template.close()


@pytest.fixture(scope="session")
def bedplate_rolled_back(bedplate_template: Template) -> Generator[RolledBack]:
    """The clone on which this worker's rolled-back transactions run."""
    clone = bedplate_template.clone()
    rolled_back = RolledBack(clone)
    yield rolled_back
    rolled_back.close()
    bedplate_template.drop(clone)


@pytest.fixture
def bedplate_clock() -> Generator[FrozenClock]:
    """The clock of this test's databases and of Python; it runs until the test stops it."""
    clock = FrozenClock()
    yield clock
    clock.thaw()


@pytest.fixture
def frozen_clock(bedplate_clock: FrozenClock) -> FrozenClock:
    """The same clock, stopped: `set` and `advance` move it, in SQL and Python alike."""
    bedplate_clock.freeze()
    return bedplate_clock


@pytest.fixture
def bedplate_factories() -> Factories:
    """Makers of valid rows: `bedplate_factories(User)`; the same rows in every run."""
    return Factories()


@pytest.fixture
def bedplate_clone(bedplate_template: Template, bedplate_clock: FrozenClock) -> Generator[Clone]:
    """A new database for this test; open it as you like with its `settings` or `url`."""
    clone = bedplate_template.clone()
    with bedplate_clock.ruling(clone.owner_url):
        yield clone
    bedplate_template.drop(clone)


@async_fixture
async def bedplate_project(bedplate_clone: Clone) -> AsyncGenerator[Project]:
    """A project on a new database: the code under test may commit, and open what it likes."""
    project = await Project.open(settings=bedplate_clone.settings, check_versions=False)
    async with project:
        yield project


@pytest.fixture
def bedplate_blocking_project(bedplate_clone: Clone) -> Generator[Project]:
    """The same for tests without an event loop; run its coroutines with `wait`."""
    project = open_project(settings=bedplate_clone.settings, check_versions=False)
    yield project
    wait(project.close())


@async_fixture
async def bedplate_tx(
    bedplate_rolled_back: RolledBack, bedplate_clock: FrozenClock
) -> AsyncGenerator[Transaction]:
    """A transaction that is rolled back after the test: by far the fastest way to run one."""
    with bedplate_clock.ruling(bedplate_rolled_back.clone.owner_url):
        async with bedplate_rolled_back.transaction() as tx:
            yield tx


@pytest.fixture
def bedplate_blocking_tx(
    bedplate_rolled_back: RolledBack, bedplate_clock: FrozenClock
) -> Generator[Transaction]:
    """The same for tests without an event loop; run what takes it with `wait`."""
    transaction = bedplate_rolled_back.transaction(blocking=True)
    with bedplate_clock.ruling(bedplate_rolled_back.clone.owner_url):
        yield wait(transaction.__aenter__())
        wait(transaction.__aexit__(None, None, None))
