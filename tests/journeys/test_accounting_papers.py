"""The plan's documents as they are run: plain SQL there and back, beside a host's seven tables."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from bedplate import Project, Settings
from bedplate.catalog import connect
from bedplate.modules.accounting import (
    Draft,
    InvoiceNotification,
    NotificationType,
    RecurringInvoice,
    add_payment,
    create_template,
    draft_invoice,
    invoice_notifications,
    issue_invoice,
    pause_template,
    refund_invoice,
    set_billing,
    set_price,
)
from bedplate.operations import document, migrate
from bedplate.operations.migrate import Part, Target
from bedplate.testing import Server
from tests.journeys.host_layouts import Hosted, hosted
from tests.journeys.mining_farm import Farm
from tests.psql import run_script

TABLES = b"""
SELECT c.relname FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = 'accounting'::regnamespace
"""
FARM = Farm(users_count=3, miners_count=5, payments_count=4)


async def test_the_rollback_procedure_leaves_the_host_as_it_was(
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

        await _do_business(host)
        assert [name for name, rows in _rows(host).items() if not rows] == []
        assert host.state() ^ before == set()

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


async def _do_business(host: Hosted) -> None:
    """Leave rows in every table of accounting, some of them tied to the host's."""
    by, who = FARM.key("users", 1), FARM.key("users", 2)
    payer, cents, _ = FARM.payments[0]
    async with await Project.open(settings=host.settings) as project:
        db = project.db
        await set_billing(db, time_zone="Europe/Berlin")
        await set_price(db, who, Decimal("9.00"), date(2026, 1, 1), by=by)
        plan = RecurringInvoice(
            user_id=who, day_of_month=1, start_date=date.today(), created_by=by, due_days=3
        )
        await create_template(db, plan)
        await pause_template(db, plan.id, by=by)
        draft = Draft(
            user_id=FARM.key("users", payer),
            total_miners=1,
            unit_price=Decimal(cents).scaleb(-2),
            due_date=date(2099, 1, 1),
            created_by=by,
        )
        made = await issue_invoice(db, (await draft_invoice(db, draft)).id, by=by)
        await add_payment(db, made.id, FARM.key("cost_payments", 1))
        await refund_invoice(db, made.id, Decimal("0.01"), key="one")
        told = InvoiceNotification(
            invoice_id=made.id,
            notification_type=NotificationType.INVOICE_ISSUED,
            sent_to="ada@example.com",
        )
        await invoice_notifications.create(db, told)


def _rows(host: Hosted) -> dict[str, int]:
    """How many rows each table of accounting has."""
    with connect(host.admin_url, autocommit=True, purpose="journey") as admin:
        names = admin.execute(TABLES).fetchall()
        count = "SELECT count(*) FROM accounting.{}"
        return {
            name: admin.execute(count.format(name).encode()).fetchall()[0][0] for (name,) in names
        }


def _target(host: Hosted, folder: Path) -> Target:
    return Target(
        registry=host.registry,
        owner_url=host.owner_url,
        folder=folder,
        app_url=host.settings.database_url,
        admin_url=host.admin_url,
        bindings=host.settings.bind,
    )
