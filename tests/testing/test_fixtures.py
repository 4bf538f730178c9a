"""The fixtures that users get, used as users do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from bedplate.catalog import connect
from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel import clock
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import PermissionDenied, UsageError
from bedplate.kernel.settings import Settings
from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import User, create_user, users
from bedplate.project import Project
from bedplate.testing import Clone, FrozenClock, Server, Template, databases

ADA = "ada@example.com"


async def test_a_project_commits(bedplate_project: Project) -> None:
    async with bedplate_project.db.transaction() as tx:
        await create_user(tx, User(email=ADA))
    assert await users.count(bedplate_project.db) == 1


async def test_and_the_next_project_is_empty(bedplate_project: Project) -> None:
    assert await users.count(bedplate_project.db) == 0


def test_a_blocking_project_commits(bedplate_blocking_project: Project) -> None:
    async def work() -> int:
        async with bedplate_blocking_project.db.transaction() as tx:
            await create_user(tx, User(email=ADA))
        return await users.count(bedplate_blocking_project.db)

    assert wait(work()) == 1


@pytest.mark.parametrize("time", ["first", "second"])
async def test_a_transaction_is_rolled_back(bedplate_tx: Transaction, time: str) -> None:
    assert await users.count(bedplate_tx) == 0
    await create_user(bedplate_tx, User(email=ADA))


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_blocking_transaction_is_rolled_back(
    bedplate_blocking_tx: Transaction, time: str
) -> None:
    assert wait(users.count(bedplate_blocking_tx)) == 0
    wait(create_user(bedplate_blocking_tx, User(email=ADA)))


async def test_a_failed_statement_harms_no_later_test(bedplate_tx: Transaction) -> None:
    with pytest.raises(Exception, match="22012"):
        await bedplate_tx.one(text("SELECT 1 / 0"))


async def test_a_rolled_back_transaction_refuses_a_second(bedplate_tx: Transaction) -> None:
    await users.count(bedplate_tx)
    with pytest.raises(UsageError, match="bedplate_project"):
        await users.count(bedplate_tx.database)


async def test_the_frozen_clock_rules_python_and_sql(
    bedplate_tx: Transaction, bedplate_project: Project, frozen_clock: FrozenClock
) -> None:
    at = frozen_clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    user = await create_user(bedplate_tx, User(email=ADA))
    assert (await users.get(bedplate_tx, user.id)).created_at == at == clock.now()
    later = frozen_clock.advance(days=365, seconds=0.5)
    assert later == at + timedelta(days=365, seconds=0.5)
    for db in (bedplate_tx, bedplate_project.db):
        assert await db.one(text("SELECT bedplate.now(), bedplate.clock()")) == (later, later)


async def test_a_stopped_clock_runs_again_for_the_next_test(bedplate_tx: Transaction) -> None:
    (moment,) = await bedplate_tx.one(text("SELECT bedplate.clock()"))
    assert abs(moment - clock.now()) < timedelta(minutes=1)
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_clock_of_one_clone_leaves_the_others_alone(
    bedplate_template: Template, bedplate_blocking_project: Project, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    other = bedplate_template.clone()
    with frozen_clock.ruling(other.owner_url):
        assert _year(other) == 2030
    assert _year(other) != 2030
    bedplate_template.drop(other)


def test_a_naive_time_is_refused(frozen_clock: FrozenClock) -> None:
    with pytest.raises(UsageError, match="without a zone"):
        frozen_clock.set(datetime(2030, 1, 1))


def test_a_template_is_made_once(
    bedplate_template: Template, bedplate_server: Server, bedplate_settings: Settings
) -> None:
    again = Template(bedplate_server, bedplate_settings)
    other = Template(bedplate_server, bedplate_settings, "CREATE TABLE public.hosts (id int)")
    assert again.name == bedplate_template.name != other.name
    again.close()
    other.close()


def test_a_template_in_use_is_kept_and_an_old_one_goes(
    bedplate_template: Template,
    bedplate_server: Server,
    bedplate_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(table: str) -> Template:
        return Template(bedplate_server, bedplate_settings, f"CREATE TABLE public.{table} (id int)")

    # A name of their own, so that the templates of other tests stay out of it.
    monkeypatch.setattr(databases, "TEMPLATE", "bedplate_mould")
    monkeypatch.setattr(databases, "TEMPLATES_MAX", 1)
    used, left = made("used"), made("left_behind")
    left.close()
    newest = made("newest")
    with connect(bedplate_server.admin_url) as admin:
        rows = admin.execute("SELECT datname FROM pg_database WHERE datistemplate").fetchall()
    names = {name for (name,) in rows}
    assert {used.name, newest.name} <= names
    assert left.name not in names
    used.drop(used.clone())
    for each in (used, newest):
        each.close()
        databases._drop_template(bedplate_template._admin, each.name)


def test_a_project_with_adopted_tables_has_a_template_of_its_own(
    bedplate_server: Server, bedplate_settings: Settings
) -> None:
    bound = replace(
        bedplate_settings, bind={"users": Binding("public.User", "_id", "text", {"name": "Name"})}
    )
    template = Template(
        bedplate_server,
        bound,
        """CREATE TABLE public."User" (_id text PRIMARY KEY, "Name" text);
        INSERT INTO public."User" VALUES ('u1', 'Ada');""",
    )
    clone = template.clone()
    project = open_project(settings=clone.settings)
    assert [user.name for user in wait(users.list(project.db))] == ["Ada"]
    wait(project.close())
    template.close()


async def test_a_clone_has_its_templates_roles(bedplate_project: Project) -> None:
    db = bedplate_project.db
    async with db.transaction() as tx:
        ada = await create_user(tx, User(email=ADA))
        await create_user(tx, User(email="eve@example.com"))
    async with db.read(actor=ada.id, guarded=True) as reader:
        assert [user.id for user in await users.list(reader)] == [ada.id]
    with pytest.raises(PermissionDenied):
        await db.run(text("TRUNCATE auth.users CASCADE"))


def test_clones_of_a_run_that_was_killed_are_dropped(
    bedplate_template: Template, bedplate_server: Server, bedplate_settings: Settings
) -> None:
    killed = Template(bedplate_server, bedplate_settings)
    orphan = killed.clone()
    pid = killed._admin.info.backend_pid
    killed._admin.close()
    with connect(bedplate_server.admin_url, autocommit=True) as admin:
        # The server notices on its own; until then nobody knows that the run is over.
        admin.execute("SELECT pg_terminate_backend(%s, 30000)", [pid])
    mine = bedplate_template.clone()
    Template(bedplate_server, bedplate_settings).close()
    assert _year(mine) == datetime.now(UTC).year
    with pytest.raises(Exception, match="refuses"):
        _year(orphan)
    bedplate_template.drop(mine)


def _year(clone: Clone) -> int:
    with connect(clone.url) as connection:
        row = connection.execute("SELECT bedplate.now()").fetchone()
    assert row is not None
    year: int = row[0].year
    return year
