"""A host's users table in place of ours: read, referred to, and left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select, text
from sqlalchemy.orm import aliased

from bedplate import Database, Include, Project, Settings, assign, equal, errors
from bedplate.catalog import connect, read
from bedplate.kernel import registry
from bedplate.modules.auth import (
    User,
    UserPreferences,
    backfill_preferences,
    create_user,
    get_user_with_data,
    user_preferences,
    users,
)
from bedplate.operations import checks
from bedplate.testing import Server
from tests.journeys.adoption import HOSTS, Adopted, Host, adopted, apply, catalog_of


@pytest.fixture(scope="module", params=HOSTS, ids=[host.name for host in HOSTS])
def place(
    request: pytest.FixtureRequest, bedplate_server: Server, bedplate_settings: Settings
) -> Iterator[Adopted]:
    with adopted(bedplate_server, bedplate_settings, request.param) as made:
        yield made


@pytest.fixture
def host(place: Adopted) -> Host:
    return place.host


@pytest_asyncio.fixture
async def db(place: Adopted) -> AsyncIterator[Database]:
    async with await Project.open(settings=place.settings) as project:
        yield project.db
    with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
        admin.execute("DELETE FROM auth.user_preferences")


@pytest_asyncio.fixture
async def writing(place: Adopted) -> AsyncIterator[Database]:
    """The same project with `writable = true`; what it writes to the host's table is undone."""
    table = ".".join(f'"{part}"' for part in place.host.binding.table.split("."))
    with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
        admin.execute(f"CREATE TABLE public.kept AS TABLE {table}".encode())
        admin.execute(f"GRANT INSERT, UPDATE, DELETE ON {table} TO PUBLIC".encode())
        async with await Project.open(settings=place.writable) as project:
            yield project.db
        admin.execute(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM PUBLIC".encode())
        admin.execute("DELETE FROM auth.user_preferences")
        admin.execute(f"DELETE FROM {table}".encode())
        admin.execute(f"INSERT INTO {table} TABLE public.kept".encode())
        admin.execute("DROP TABLE public.kept")


def new(host: Host, **fields: Any) -> User:
    """A user with a key of the host's type, which type checkers take for a UUID."""
    return User(**{"id": host.new_key, **fields})


def of(user_id: Any, last_workspace_id: str | None = None) -> UserPreferences:
    return UserPreferences(user_id=user_id, last_workspace_id=last_workspace_id)


class TestTheSchema:
    def test_our_foreign_keys_have_the_hosts_type_and_point_at_its_key(
        self, place: Adopted, host: Host
    ) -> None:
        with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
            tables = {table.full_name: table for table in read(admin, ("auth", "shop")).tables}
        assert "auth.users" not in tables
        for name in ("auth.user_preferences", "shop.customers"):
            column = next(c for c in tables[name].columns if c.name == "user_id")
            assert column.type == host.binding.key_type
            keys = [key for key in tables[name].foreign_keys if key.columns == ("user_id",)]
            assert [key.references for key in keys if key.references is not None] == [
                type(keys[0].references)(  # type: ignore[misc]
                    host.binding.schema, host.binding.name, (host.binding.key,)
                )
            ]

    def test_the_hosts_table_is_as_it_was(self, place: Adopted, host: Host) -> None:
        with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
            assert catalog_of(admin, host) == place.before

    def test_applying_again_changes_nothing(self, place: Adopted, host: Host) -> None:
        apply(place.settings)
        with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
            assert catalog_of(admin, host) == place.before

    def test_without_the_grant_the_line_says_which_one_it_needs(
        self, bedplate_server: Server, bedplate_settings: Settings
    ) -> None:
        making = adopted(bedplate_server, bedplate_settings, HOSTS[0], granted="SELECT")
        with pytest.raises(errors.MigrationFailed, match="SELECT and REFERENCES"), making:
            pass


class TestReads:
    async def test_by_key_by_condition_and_in_order(self, db: Database, host: Host) -> None:
        ada = await users.get(db, host.keys[0])
        assert (ada.id, ada.email, ada.name) == (host.keys[0], "ada@example.com", "Ada")
        found = await users.find(db, equal(User.name, "Grace"))
        assert found is not None
        assert found.id == host.keys[1]
        listed = await users.list(db, User.name.is_not(None), order=[User.name.desc()])
        assert [user.name for user in listed] == ["Grace", "Ada"]
        with pytest.raises(errors.NotFound):
            await users.get(db, host.new_key)

    async def test_select_count_exists_and_stream(self, db: Database, host: Host) -> None:
        rows = await users.list(db, order=[User.email], select=(User.id, User.email))
        assert {row[0] for row in rows} == set(host.keys)
        assert await users.count(db) == 3, "what the host marks as deleted is the host's affair"
        assert await users.exists(db, equal(User.name, "Ada"))
        assert not await users.exists(db, equal(User.name, "Nobody"))
        assert {user.id async for user in users.stream(db)} == set(host.keys)

    async def test_pages(self, db: Database, host: Host) -> None:
        page = await users.page(db, order=[User.email], size=2)
        assert page.next is not None
        rest = await users.page(db, order=[User.email], size=2, at=page.next)
        assert [user.id for user in page.items + rest.items] == [
            user.id for user in await users.list(db, order=[User.email, User.id])
        ]
        assert rest.previous is not None
        back = await users.page(db, order=[User.email], size=2, at=rest.previous)
        assert [user.id for user in back.items] == [user.id for user in page.items]

    async def test_the_named_reads(self, db: Database, host: Host) -> None:
        grace = await users.by_email(db, "grace@EXAMPLE.com")
        assert grace is not None
        assert grace.id == host.keys[1]

    async def test_joins_aliases_and_selects_on_the_spot(self, db: Database, host: Host) -> None:
        for key in host.keys:
            await user_preferences.create(db, of(key))
        other = aliased(User)
        pairs = await db.all(
            select(User.name, UserPreferences.user_id)
            .join(UserPreferences, UserPreferences.user_id == User.id)
            .where(User.name.is_not(None))
            .order_by(User.name)
        )
        assert pairs == [("Ada", host.keys[0]), ("Grace", host.keys[1])]
        twins = await db.all(
            select(User, other).join(other, other.id == User.id).where(other.name == "Ada")
        )
        assert [(a.id, b.email) for a, b in twins] == [(host.keys[0], "ada@example.com")]
        below = select(User.id).where(User.name == "Ada").subquery()
        assert await db.one(select(func.count()).select_from(below)) == 1
        cte = select(User.email.label("address")).where(User.name == "Ada").cte("named")
        assert await db.all(select(cte.c.address)) == ["ada@example.com"]

    async def test_relations_both_ways(self, db: Database, host: Host) -> None:
        made = await user_preferences.create(
            db,
            of(host.keys[2], "w1"),
        )
        tony = await get_user_with_data(db, host.keys[2])
        assert tony.preferences is not None
        assert (tony.preferences.id, tony.preferences.user_id) == (made.id, host.keys[2])
        back = await user_preferences.get(
            db, made.id, include=(Include(UserPreferences.user, include=(User.preferences,)),)
        )
        assert (back.user.id, back.user.email) == (host.keys[2], "tony@example.com")
        assert (await users.get(db, host.keys[0], include=(User.preferences,))).preferences is None
        page = await users.page(db, order=[User.email], include=(User.preferences,))
        assert [user.preferences is not None for user in page.items].count(True) == 1


class TestUnboundFields:
    async def test_a_statement_that_asks_for_one_says_which(self, db: Database, host: Host) -> None:
        for field in host.unbound:
            attribute = getattr(User, field)
            cure = rf"columns = \{{ {field} = "
            with pytest.raises(errors.FieldNotBound, match=cure):
                await users.find(db, attribute.is_(None))
            with pytest.raises(errors.FieldNotBound, match=cure):
                await users.list(db, select=(attribute,))
            with pytest.raises(errors.FieldNotBound, match=cure):
                await users.list(db, order=[attribute])
        with pytest.raises(errors.FieldNotBound, match="clerk_id"):
            await users.by_clerk_id(db, "c1")

    async def test_a_row_does_not_have_it(self, db: Database, host: Host) -> None:
        ada = await users.get(db, host.keys[0])
        with pytest.raises(errors.FieldNotLoaded, match="bind a column to it"):
            print(ada.password_hash)


class TestReadOnly:
    async def test_no_verb_writes(self, db: Database, host: Host) -> None:
        key = host.keys[0]
        attempts = [
            users.create(db, new(host, email="new@example.com")),
            users.create_many(db, [new(host, email="new@example.com")]),
            users.load(db, (User.id, User.email), [(host.new_key, "new@example.com")]),
            users.update(db, key, assign(User.name, "Other")),
            users.delete(db, key),
            users.delete(db, key, hard=True),
            users.restore(db, key),
            users.upsert(db, new(host, id=key, email="new@example.com"), on=(User.id,)),
        ]
        for attempt in attempts:
            with pytest.raises(errors.TableNotWritable, match="writable = true"):
                await attempt
        async with db.transaction() as tx:
            with pytest.raises(errors.TableNotWritable):
                await create_user(tx, new(host, email="new@example.com"))
        assert (await users.get(db, key)).name == "Ada"
        assert await users.count(db) == 3

    async def test_the_app_has_no_privilege_to_write_either(self, db: Database, host: Host) -> None:
        table = ".".join(f'"{part}"' for part in host.binding.table.split("."))
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"DROP TABLE {table}"):
            with pytest.raises(errors.PermissionDenied):
                await db.run(text(statement))

    async def test_the_hosts_users_get_their_preferences(self, db: Database, host: Host) -> None:
        async with db.transaction() as tx:
            assert (await backfill_preferences(tx)).rows == 3
            assert (await backfill_preferences(tx)).rows == 0
        owners = await user_preferences.list(db, select=(UserPreferences.user_id,))
        assert {owner for (owner,) in owners} == set(host.keys)

    async def test_a_reference_to_nobody_is_refused(self, db: Database, host: Host) -> None:
        with pytest.raises(errors.ForeignKeyViolation):
            await user_preferences.create(
                db,
                of(host.new_key),
            )


class TestTheLaws:
    async def test_the_checks_look_at_the_hosts_users(
        self, place: Adopted, db: Database, host: Host
    ) -> None:
        found = {each.id: each for each in _checked(place)}
        assert {row["id"] for row in found["auth.E001"].rows} == set(map(str, host.keys))
        assert found["auth.E002"].ok
        async with db.transaction() as tx:
            await backfill_preferences(tx)
        assert [each for each in _checked(place) if not each.ok and not each.is_warning] == []

    def test_a_law_on_a_field_that_the_host_lacks_is_left_out(self, place: Adopted) -> None:
        binding = replace(place.host.binding, columns={})
        without_email = replace(place.settings, bind={"users": binding})
        found = [each.id for each in _checked(replace(place, settings=without_email))]
        assert "auth.E001" in found
        assert "auth.E002" not in found


def _checked(place: Adopted) -> tuple[checks.CheckOutcome, ...]:
    settings = place.settings
    assert settings.database_url is not None
    modules = registry.load(settings.modules)
    return checks.run(modules, settings.database_url, bindings=settings.bind)


class TestWritable:
    async def test_create_change_and_delete(self, writing: Database, host: Host) -> None:
        created = await users.create(
            writing,
            new(host, email="new@example.com", name="New"),
        )
        assert (created.id, created.email) == (host.new_key, "new@example.com")
        changed = await users.update(writing, host.new_key, assign(User.name, "Newer"))
        assert changed.name == "Newer"
        assert (await users.get(writing, host.new_key)).name == "Newer"
        await users.delete(writing, host.new_key)
        assert await users.count(writing) == 3, "the row is gone, not marked"
        with pytest.raises(errors.NotFound):
            await users.delete(writing, host.new_key)

    async def test_create_user_makes_the_preferences_too(
        self, writing: Database, host: Host
    ) -> None:
        async with writing.transaction() as tx:
            created = await create_user(
                tx,
                new(host, email=" new@example.com "),
            )
        whole = await get_user_with_data(writing, created.id)
        assert whole.email == "new@example.com"
        assert whole.preferences is not None

    async def test_many_at_once(self, writing: Database, host: Host) -> None:
        row = new(host, email="new@example.com")
        assert await users.create_many(writing, [row]) == 1
        await users.delete(writing, host.new_key)
        fields = (User.id, User.email)
        assert await users.load(writing, fields, [(host.new_key, "new@example.com")]) == 1
        assert (await users.get(writing, host.new_key)).email == "new@example.com"

    async def test_a_field_that_is_not_bound_is_refused(
        self, writing: Database, host: Host
    ) -> None:
        with pytest.raises(errors.FieldNotBound):
            await users.update(writing, host.keys[0], assign(User.clerk_id, "c1"))
        with pytest.raises(errors.FieldNotBound):
            await users.create(writing, new(host, clerk_id="c1"))

    async def test_a_key_is_given_where_the_hosts_are_not_uuids(
        self, writing: Database, host: Host
    ) -> None:
        if host.binding.key_type == "uuid":
            made = await users.create(writing, User(email="new@example.com"))
            assert (await users.get(writing, made.id)).email == "new@example.com"
        else:
            with pytest.raises(errors.FieldInvalid, match=r"users\.id takes"):
                await users.create(writing, User(email="new@example.com"))

    async def test_a_taken_address_is_told(self, writing: Database, host: Host) -> None:
        with pytest.raises(errors.UniqueViolation):
            await users.create(writing, new(host, email="ada@example.com"))
