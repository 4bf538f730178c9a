"""Beside a host's own database: enable, use, disable; and all that is the host's is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from bedplate import Database, Project, Settings, UserId, equal, errors
from bedplate.modules.auth import User, backfill_preferences, create_user, users
from bedplate.modules.credits import (
    Charge,
    Deducted,
    OperationType,
    Refused,
    UnknownAccount,
    UnknownUser,
    balance_of,
    deduct,
    deduct_many,
    get_user_with_data,
    open_account,
    refund,
)
from bedplate.modules.mining import (
    CostPayment,
    Miner,
    cost_payments,
    miners,
    retire_miner,
    set_rate,
)
from bedplate.operations import backup, migrate
from bedplate.operations.migrate import Receipt
from bedplate.testing import Server
from tests.journeys.host_layouts import EMAILS, LAYOUTS, Hosted, Layout, hosted

NOBODY: Mapping[type, UserId] = {UUID: UUID(int=1), str: "nobody", int: 2**60}


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def host(
    request: pytest.FixtureRequest, bedplate_server: Server, bedplate_settings: Settings
) -> Iterator[Hosted]:
    with hosted(bedplate_server, bedplate_settings, request.param) as made:
        yield made


async def test_enable_use_disable(host: Hosted) -> None:
    before = host.state()
    triggers = host.foreign_key_triggers()
    schemas = host.schemas()

    receipts = host.enable()
    assert len(receipts) >= 10, "every revision of three lines has one"
    assert [(each.rows_touched, each.rewritten) for each in receipts] == [(0, ())] * len(receipts)
    changed = {name.partition(".")[0] for each in receipts for name in each.shape_changes}
    assert changed <= host.layout.our_schemas, (
        "later revisions change what earlier ones made, and no more"
    )
    assert host.state() ^ before == set()
    assert host.schemas() == schemas | host.layout.our_schemas
    assert host.foreign_key_triggers() > triggers, "our foreign keys point at the host's users"
    commands = host.commands()
    assert len(commands) > 100, "the watch sees what we make"
    assert [each for each in commands if host.is_others(each)] == []

    assert host.enable() == [], "the second time there is nothing to do"
    await _use(host)
    assert host.commands() == [], "neither that nor using it is DDL"
    assert host.state() ^ before == set()

    host.disable()
    assert host.schemas() == schemas
    assert host.state() ^ before == set()
    assert host.foreign_key_triggers() == triggers
    assert [each for each in host.commands() if host.is_others(each)] == []


@pytest.mark.parametrize("host", [LAYOUTS[3]], ids=["own_schema"], indirect=True)
def test_apply_as_the_command_runs_it(host: Hosted, tmp_path: Path) -> None:
    """With the rehearsal on a copy and the backup: neither touches what is the host's."""
    before = host.state()
    settings = host.settings
    target = migrate.Target(
        registry=host.registry,
        owner_url=host.owner_url,
        app_url=settings.database_url,
        admin_url=host.admin_url,
        folder=tmp_path,
        bindings=settings.bind,
    )
    receipts: list[Receipt] = []
    migrate.apply(target, on_receipt=receipts.append)
    assert sum(each.rows_touched for each in receipts) == 0
    assert host.state() ^ before == set()
    assert [each for each in host.commands() if host.is_others(each)] == []
    (saved,) = backup.listed(tmp_path / ".bedplate" / "backups")
    assert saved.manifest.modules == {}, "it was saved before anything of ours was there"
    assert {name.partition(".")[0] for name in saved.manifest.contents} == {host.layout.schema}
    again: list[Receipt] = []
    migrate.apply(target, on_receipt=again.append)
    assert again == []
    assert host.commands() == []


async def _use(host: Hosted) -> None:
    async with await Project.open(settings=host.settings) as project:
        await _read_users(project.db, host.layout)
        await _spend_credits(project.db, *host.layout.keys)
        if "mining" in host.layout.modules:
            await _look_at_miners(project.db, host.layout.keys[0])
    assert host.broken() == []


async def _read_users(db: Database, layout: Layout) -> None:
    for key, email in zip(layout.keys, EMAILS, strict=True):
        assert (await users.get(db, key)).email == email
        found = await users.by_email(db, email.upper())
        assert found is not None
        assert found.id == key
    async with db.transaction() as tx:
        assert (await backfill_preferences(tx)).rows == 3
    async with db.transaction() as tx:
        with pytest.raises(errors.TableNotWritable):
            await create_user(tx, User(email="new@example.com"))


async def _spend_credits(db: Database, ada: UserId, grace: UserId, tony: UserId) -> None:
    everyone = (ada, grace, tony)
    for key in everyone:
        assert (await open_account(db, key, credits=50)).balance == 50
    chat = OperationType.AI_TEXT_CHAT
    done = await deduct(db, ada, chat, key="first", amount=20)
    assert isinstance(done, Deducted)
    assert (await deduct(db, ada, chat, key="first", amount=20)).replayed
    await refund(db, done.usage_id, key="back", amount=5)
    charges = [
        Charge(user_id=user, operation=chat, key=f"many {user}", amount=7) for user in everyone
    ]
    assert all(isinstance(each, Deducted) for each in await deduct_many(db, charges))
    assert isinstance(await deduct(db, tony, chat, key="too much", amount=44), Refused)
    assert [(await balance_of(db, user)).credits for user in everyone] == [28, 43, 43]
    whole = await get_user_with_data(db, ada)
    assert (whole.user.id, whole.user.email) == (ada, EMAILS[0])
    nobody = NOBODY[type(ada)]
    with pytest.raises(UnknownUser):
        await open_account(db, nobody)
    with pytest.raises(UnknownAccount):
        await deduct(db, nobody, chat, key="nobody", amount=1)


async def _look_at_miners(db: Database, ada: UserId) -> None:
    owned = await miners.list(db, equal(Miner.user_id, ada), order=[Miner.name])
    assert [(each.name, each.status) for each in owned] == [
        ("Ada 1", "ACTIVE"),
        ("Ada 2", "RETIRED"),
    ]
    paid = await cost_payments.list(db, order=[CostPayment.amount])
    assert [each.amount for each in paid] == [Decimal("99.99"), Decimal("250.00")]
    with pytest.raises(errors.TableNotWritable):
        await cost_payments.create(db, CostPayment(user_id=owned[0].user_id, amount=Decimal(1)))
    with pytest.raises(errors.TableNotWritable):
        await retire_miner(db, owned[0].id)
    # A table of ours that refers to the host's miners by their key.
    rate = await set_rate(db, owned[0].id, Decimal("1.25"), date(2026, 2, 1))
    assert rate.miner_id == owned[0].id
