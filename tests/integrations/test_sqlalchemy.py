"""SQLAlchemy's sessions inside our transactions, and our verbs inside theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import event, func, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, InternalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import selectinload

from bedplate import Database, Repository, acting, assign, equal, errors
from bedplate.integrations.blocking import open_project, wait
from bedplate.modules.auth import User, UserPreferences, create_user, user_preferences, users
from bedplate.testing import Clone
from tests.shop import Product

products = Repository(Product)


class UserTable(SQLAlchemyAsyncRepository[User]):
    """Advanced Alchemy's repository on one of our models."""

    model_type = User


@pytest_asyncio.fixture
async def engine(bedplate_clone: Clone) -> AsyncIterator[AsyncEngine]:
    """The host application's own engine."""
    url = bedplate_clone.url.replace("postgresql://", "postgresql+psycopg://")
    made = create_async_engine(url, pool_size=2, max_overflow=0)
    yield made
    await made.dispose()


async def emails(db: Database) -> list[str]:
    return sorted(str(email) for (email,) in await users.list(db, select=(User.email,)))


class TestSessionInOurTransaction:
    async def test_what_a_session_writes_commits_with_the_transaction(self, db: Database) -> None:
        async with db.transaction() as tx:
            session = await tx.session()
            session.add(User(email="ada@example.com"))
            await session.flush()
            # One connection, one transaction: each sees what the other has not committed yet.
            assert await users.count(tx) == 1
            await users.create(tx, User(email="grace@example.com"))
            assert await session.scalar(select(func.count()).select_from(User)) == 2
            assert await users.count(db) == 0
        assert await emails(db) == ["ada@example.com", "grace@example.com"]

    async def test_what_a_session_did_not_flush_is_stored_too(self, db: Database) -> None:
        async with db.transaction() as tx:
            (await tx.session()).add(User(email="ada@example.com"))
        assert await emails(db) == ["ada@example.com"]

    async def test_a_failure_takes_back_what_the_session_committed(self, db: Database) -> None:
        async def work() -> None:
            async with db.transaction() as tx:
                session = await tx.session()
                session.add(User(email="ada@example.com"))
                await session.commit()
                raise RuntimeError("too late")

        with pytest.raises(RuntimeError, match="too late"):
            await work()
        assert await emails(db) == []

    async def test_a_session_that_commits_does_not_end_the_transaction(self, db: Database) -> None:
        async with db.transaction() as tx:
            session = await tx.session()
            session.add(User(email="ada@example.com"))
            await session.commit()
            assert await users.count(db) == 0, "nobody else sees it yet"
            await users.create(tx, User(email="grace@example.com"))
            session.add(User(email="tony@example.com"))
            await session.commit()
        assert len(await emails(db)) == 3

    async def test_a_session_that_rolls_back_undoes_its_own_work_only(self, db: Database) -> None:
        async with db.transaction() as tx:
            await users.create(tx, User(email="grace@example.com"))
            session = await tx.session()
            session.add(User(email="ada@example.com"))
            await session.flush()
            await session.rollback()
            session.add(User(email="tony@example.com"))
        assert await emails(db) == ["grace@example.com", "tony@example.com"]

    async def test_a_statement_that_fails_in_a_session_leaves_the_rest(self, db: Database) -> None:
        async with db.transaction() as tx:
            await users.create(tx, User(email="ada@example.com"))
            session = await tx.session()
            session.add(User(email="ADA@example.com"))
            with pytest.raises(IntegrityError):
                await session.flush()
            await session.rollback()
            await users.create(tx, User(email="grace@example.com"))
        assert await emails(db) == ["ada@example.com", "grace@example.com"]

    async def test_a_failure_at_the_last_flush_rolls_everything_back(self, db: Database) -> None:
        async def work() -> None:
            async with db.transaction() as tx:
                await users.create(tx, User(email="ada@example.com"))
                (await tx.session()).add(User(email="ADA@example.com"))

        with pytest.raises(IntegrityError):
            await work()
        assert await emails(db) == []
        assert _in_use(db) == 0

    async def test_many_sessions_one_after_another(self, db: Database) -> None:
        for number in range(30):
            async with db.transaction() as tx:
                session = await tx.session()
                session.add(User(email=f"user{number}@example.com"))
                await session.commit()
        async with db.transaction() as tx:
            for number in range(30, 60):
                session = await tx.session()
                session.add(User(email=f"user{number}@example.com"))
                await session.flush()
        assert await users.count(db) == 60
        assert _in_use(db) == 0

    async def test_sessions_of_parallel_transactions_do_not_meet(self, db: Database) -> None:
        async def work(number: int) -> int:
            async with db.transaction() as tx:
                session = await tx.session()
                before = await session.scalar(text("SELECT pg_backend_pid()"))
                session.add(User(email=f"user{number}@example.com"))
                await session.flush()
                await asyncio.sleep(0.01)
                assert before == await session.scalar(text("SELECT pg_backend_pid()"))
                assert await tx.one(select(func.pg_backend_pid())) == before
            return number

        assert await asyncio.gather(*map(work, range(20))) == list(range(20))
        assert await users.count(db) == 20

    async def test_a_session_reads_as_ever_and_a_reader_refuses_its_writes(
        self, db: Database
    ) -> None:
        async with db.transaction() as tx:
            ada = await create_user(tx, User(email="ada@example.com"))
        async with db.read() as reader:
            session = await reader.session()
            found = await session.get(User, ada.id, options=[selectinload(User.preferences)])
            assert found is not None
            assert found.preferences is not None
            assert found.preferences.user_id == ada.id
        async with db.read() as reader:
            session = await reader.session()
            with pytest.raises(InternalError, match="read-only"):
                await session.execute(update(User).values(name="Ada"))
            await session.rollback()

    async def test_the_session_knows_who_acts(self, db: Database) -> None:
        async with db.transaction(actor="somebody") as tx:
            session = await tx.session()
            actor = await session.scalar(text("SELECT current_setting('bedplate.actor', true)"))
        assert actor == "somebody"


def test_a_sync_host_is_told_that_sessions_are_async(bedplate_clone: Clone) -> None:
    project = open_project(settings=bedplate_clone.settings)

    async def work() -> None:
        async with project.db.transaction() as tx:
            await users.create(tx, User(email="ada@example.com"))
            await tx.session()

    with pytest.raises(errors.UsageError, match="async only"):
        wait(work())
    assert wait(users.count(project.db)) == 0
    wait(project.close())


class TestAdvancedAlchemy:
    async def test_its_repository_works_inside_our_transaction(self, db: Database) -> None:
        async with db.transaction() as tx:
            table = UserTable(session=await tx.session())
            ada = await table.add(User(email="ada@example.com", name="Ada"))
            assert (await users.get(tx, ada.id)).name == "Ada"
            ada.name = "Ada Lovelace"
            await table.update(ada)
            await table.add_many([User(email=f"user{n}@example.com") for n in range(3)])
            assert await table.count() == 4
            assert (await table.get_one(email="ada@example.com")).id == ada.id
            page, total = await table.get_many_and_count()
            assert (len(page), total) == (4, 4)
        assert (await users.get(db, ada.id)).name == "Ada Lovelace"

    async def test_its_own_commit_does_not_commit_ours(self, db: Database) -> None:
        async def work() -> None:
            async with db.transaction() as tx:
                table = UserTable(session=await tx.session())
                await table.add(User(email="ada@example.com"), auto_commit=True)
                raise RuntimeError("too late")

        with pytest.raises(RuntimeError, match="too late"):
            await work()
        assert await emails(db) == []


class TestOurVerbsInTheirTransaction:
    async def test_their_commit_keeps_what_our_verbs_did(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        async with AsyncSession(engine) as session, session.begin():
            session.add(User(email="grace@example.com"))
            await session.flush()
            tx = await db.over(session)
            assert await users.count(tx) == 1, "our verbs see what their session wrote"
            ada = await create_user(tx, User(email="ada@example.com"))
            await users.update(tx, ada.id, assign(User.name, "Ada"))
            found = await session.scalar(select(User).where(User.id == ada.id))
            assert found is not None
            assert found.name == "Ada"
            assert await users.count(db) == 0
        assert await emails(db) == ["ada@example.com", "grace@example.com"]
        assert await user_preferences.exists(db, equal(UserPreferences.user_id, ada.id))

    async def test_their_rollback_undoes_what_our_verbs_did(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        async with AsyncSession(engine) as session:
            tx = await db.over(session)
            await create_user(tx, User(email="ada@example.com"))
            await products.create_many(tx, [Product(sku="A", title="A", price=Decimal(1))])
            assert await products.count(tx) == 1
            await session.rollback()
        assert await emails(db) == []
        assert await products.count(db) == 0

    async def test_the_context_travels_and_ends_with_their_transaction(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        asked = text(
            "SELECT current_setting('bedplate.actor', true),"
            " current_setting('bedplate.request_id', true)"
        )
        async with AsyncSession(engine) as session:
            with acting("ada", request_id="r1"):
                await db.over(session)
            assert tuple((await session.execute(asked)).one()) == ("ada", "r1")
            await session.commit()
            assert set((await session.execute(asked)).one()) <= {"", None}

    async def test_hooks_and_the_end_are_theirs(self, db: Database, engine: AsyncEngine) -> None:
        committed: list[bool] = []
        async with AsyncSession(engine) as session:
            event.listen(session.sync_session, "after_commit", lambda _: committed.append(True))
            async with await db.over(session) as tx:
                with pytest.raises(errors.UsageError, match="after_commit event"):
                    tx.after_commit(lambda: None)
                await users.create(tx, User(email="ada@example.com"))
            assert await users.count(db) == 0, "the end of our block committed nothing"
            with pytest.raises(errors.HandleClosed):
                await users.count(tx)
            await session.commit()
        assert committed == [True]
        assert await emails(db) == ["ada@example.com"]

    async def test_an_error_of_ours_is_ours_and_their_savepoint_saves_the_rest(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        async with AsyncSession(engine) as session, session.begin():
            tx = await db.over(session)
            await users.create(tx, User(email="ada@example.com"))
            with pytest.raises(errors.UniqueViolation):
                async with session.begin_nested():
                    await users.create(tx, User(email="ADA@example.com"))
            with pytest.raises(errors.UniqueViolation):
                async with tx.savepoint():
                    await users.create(tx, User(email="ADA@example.com"))
            assert await users.count(tx) == 1
        assert await emails(db) == ["ada@example.com"]

    async def test_a_transaction_that_they_have_ended_is_over(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        async with AsyncSession(engine) as session:
            tx = await db.over(session)
            await users.create(tx, User(email="ada@example.com"))
            await session.commit()
            with pytest.raises(errors.HandleClosed, match=r"db\.over\(session\)"):
                await users.create(tx, User(email="grace@example.com"))
            with pytest.raises(errors.HandleClosed):
                await products.create_many(tx, [Product(sku="A", title="A", price=Decimal(1))])
            await users.create(await db.over(session), User(email="tony@example.com"))
            await session.rollback()
        assert await emails(db) == ["ada@example.com"]

    async def test_rows_read_there_have_the_same_values(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        async with AsyncSession(engine) as session, session.begin():
            tx = await db.over(session)
            ada = await create_user(tx, User(email="ada@example.com"))
            theirs = await users.get(tx, ada.id, include=(User.preferences,))
            assert [user.id async for user in users.stream(tx)] == [ada.id]
        ours = await users.get(db, ada.id, include=(User.preferences,))
        assert theirs.preferences is not None
        assert ours.preferences is not None
        assert theirs.created_at == ours.created_at
        assert theirs.preferences.created_at == ours.preferences.created_at

    async def test_another_driver_is_refused_with_the_cure(self, db: Database) -> None:
        class Raw:
            driver_connection = object()

        class Connection:
            async def get_raw_connection(self) -> Raw:
                return Raw()

        class Session(AsyncSession):
            async def connection(self, *_: Any, **__: Any) -> Any:
                return Connection()

        with pytest.raises(errors.UsageError, match=r"postgresql\+psycopg"):
            await db.over(Session())


class TestOurRows:
    async def test_a_row_of_ours_is_a_detached_instance(self, db: Database) -> None:
        ada = await users.create(db, User(email="ada@example.com"))
        state = inspect(ada)
        assert state.detached
        assert state.identity == (ada.id,)
        assert not state.modified

    async def test_a_row_merges_into_a_session_without_a_query(
        self, db: Database, engine: AsyncEngine
    ) -> None:
        async with db.transaction() as tx:
            ada = await create_user(tx, User(email="ada@example.com"))
        ada = await users.get(db, ada.id, include=(User.preferences,))
        statements: list[str] = []
        event.listen(
            engine.sync_engine,
            "before_cursor_execute",
            lambda c, cursor, statement, *rest: statements.append(statement),
        )
        async with AsyncSession(engine) as session:
            merged = await session.merge(ada, load=False)
            assert merged is not ada
            assert merged.preferences is not None
            assert statements == []
            merged.name = "Ada"
            await session.commit()
        assert [statement.split()[0] for statement in statements] == ["UPDATE"]
        assert (await users.get(db, ada.id)).name == "Ada"

    async def test_a_relation_that_was_not_read_names_the_include(self, db: Database) -> None:
        ada = await users.create(db, User(email="ada@example.com"))
        with pytest.raises(errors.RelationNotLoaded, match=r"include=\(User\.preferences,\)"):
            print(ada.preferences)


def _in_use(db: Database) -> int:
    statistics = db.statistics()
    return statistics["pool_size"] - statistics["pool_available"]
