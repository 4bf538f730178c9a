"""The pytest plugin: fixtures that do nothing until a test asks for them.

Override `bedplate_settings` in a conftest.py to say which modules the tests need; by default it
is the project of the folder that pytest runs in.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bedplate.kernel.settings import Settings, load, project_folder
from bedplate.testing.clock import FrozenClock
from bedplate.testing.databases import Clone, Template
from bedplate.testing.server import Server


@pytest.fixture(scope="session")
def bedplate_settings(pytestconfig: pytest.Config) -> Settings:
    """The settings under test; their addresses are replaced by those of test databases."""
    return load(project_folder(pytestconfig.rootpath))


@pytest.fixture(scope="session")
def bedplate_host_sql() -> str:
    """SQL that makes the tables which the settings bind; run before the lines. None by default."""
    return ""


@pytest.fixture(scope="session")
def bedplate_server(bedplate_settings: Settings) -> Iterator[Server]:
    """The one server of this run, all of xdist's workers included."""
    with Server.start(bedplate_settings.test) as server:
        yield server


@pytest.fixture(scope="session")
def bedplate_template(
    bedplate_server: Server, bedplate_settings: Settings, bedplate_host_sql: str
) -> Iterator[Template]:
    """The database that all of this worker's are cloned from, every line applied."""
    template = Template(bedplate_server, bedplate_settings, bedplate_host_sql)
    yield template
    template.close()


@pytest.fixture
def bedplate_clock() -> Iterator[FrozenClock]:
    """The clock of this test's databases and of Python; it runs until the test stops it."""
    clock = FrozenClock()
    yield clock
    clock.thaw()


@pytest.fixture
def bedplate_clone(bedplate_template: Template, bedplate_clock: FrozenClock) -> Iterator[Clone]:
    """A new database for this test; open it as you like with its `settings` or `url`."""
    clone = bedplate_template.clone()
    with bedplate_clock.ruling(clone.owner_url):
        yield clone
    bedplate_template.drop(clone)
