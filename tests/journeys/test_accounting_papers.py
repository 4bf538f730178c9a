"""The plan's documents as they are run: plain SQL there and back, beside a host's seven tables."""

from __future__ import annotations

from pathlib import Path

from bedplate import Settings
from bedplate.catalog import connect
from bedplate.operations import document, migrate
from bedplate.operations.migrate import Part, Target
from bedplate.testing import Server
from tests.journeys.host_layouts import Hosted, hosted
from tests.journeys.mining_farm import Farm
from tests.psql import run_script

FARM = Farm(users_count=3, miners_count=5, payments_count=4)


def test_the_rollback_procedure_leaves_the_host_as_it_was(
    bedplate_server: Server, bedplate_settings: Settings, tmp_path: Path
) -> None:
    with hosted(bedplate_server, bedplate_settings, FARM) as host:
        with connect(host.admin_url, autocommit=True, purpose="journey") as admin:
            FARM.fill(admin)
        before, schemas = host.state(), host.schemas()
        target = _target(host, tmp_path)

        run_script(host.owner_url, migrate.as_sql(target, Part()), tmp_path)
        assert {each.state for each in migrate.status(host.registry, host.owner_url)} == {"current"}
        assert host.state() ^ before == set()
        assert {"accounting", "bedplate"} <= host.schemas()

        run_script(host.owner_url, migrate.as_sql(target, Part(down=True)), tmp_path)
        assert host.schemas() == schemas
        assert host.state() ^ before == set()


def test_the_impact_is_told_from_the_catalog(
    bedplate_server: Server, bedplate_settings: Settings, tmp_path: Path
) -> None:
    with hosted(bedplate_server, bedplate_settings, FARM) as host:
        host.enable()
        document.build(host.registry, host.owner_url, tmp_path)
    page = (tmp_path / "accounting.md").read_text("utf-8")
    section = page.partition("## Impact and way back")[2]
    told = [line.partition(",")[0] for line in section.splitlines() if line.startswith("- ")]
    assert told == ["- `farm.cost_payments`", "- `farm.users`"]
    assert "bedplate migrate sql accounting --down" in section


def _target(host: Hosted, folder: Path) -> Target:
    return Target(
        registry=host.registry,
        owner_url=host.owner_url,
        folder=folder,
        app_url=host.settings.database_url,
        admin_url=host.admin_url,
        bindings=host.settings.bind,
    )
