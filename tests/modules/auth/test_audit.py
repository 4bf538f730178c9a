"""What `auth` keeps of who changed users and preferences; of an adopted table, preferences only."""

from __future__ import annotations

from typing import Any

import pytest

from bedplate import Database, Project, Settings, acting, assign, errors
from bedplate.kernel import audit
from bedplate.kernel.audit import Entry, Wanted
from bedplate.modules.auth import (
    AuditAction,
    AuditLog,
    User,
    UserPreferences,
    create_user,
    user_preferences,
    users,
)
from bedplate.testing import Server
from tests.journeys.adoption import HOSTS, Host, adopted
from tests.world import World


def told(entries: list[Entry]) -> list[tuple[str, str]]:
    return sorted((entry.entity_type, entry.action) for entry in entries)


def test_a_user_is_recorded_with_its_preferences_in_one_transaction(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            ada = await create_user(tx, User(email="ada@example.com", password_hash="hash-4711"))
        entries = await audit.entries(db)
        assert told(entries) == [("user_preferences", "ROW_INSERTED"), ("users", "ROW_INSERTED")]
        assert len({entry.transaction_id for entry in entries}) == 1
        (entry,) = await audit.entries(db, Wanted(entity_type="users", entity_id=str(ada.id)))
        after: dict[str, Any] = (entry.changes or {})["after"]
        assert set(after) == set(User.__table__.columns.keys())
        assert after["email"] == "ada@example.com"
        assert after["password_hash"] == audit.REDACTED

    world.run(body(world.db))


def test_deleting_and_restoring_are_updates_and_a_hard_delete_cascades(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            ada = await create_user(tx, User(email="ada@example.com"))
        await users.delete(db, ada.id)
        await users.restore(db, ada.id)
        history = await audit.entries(db, Wanted(entity_type="users"))
        assert [entry.action for entry in history] == ["ROW_UPDATED"] * 2 + ["ROW_INSERTED"]
        restored, deleted = ((entry.changes or {}) for entry in history[:2])
        assert deleted["before"]["deleted_at"] is None
        assert deleted["after"]["deleted_at"] is not None
        assert restored["after"]["deleted_at"] is None
        await db.run(User.__table__.delete())  # type: ignore[attr-defined]
        assert told((await audit.entries(db))[:2]) == [
            ("user_preferences", "ROW_DELETED"),
            ("users", "ROW_DELETED"),
        ]

    world.run(body(world.db))


def test_a_failed_write_leaves_no_entry(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await create_user(tx, User(email="ada@example.com"))
        before = await audit.counts(db)
        async with db.transaction() as tx:
            with pytest.raises(errors.BedplateError):
                await create_user(tx, User(email="ADA@example.com"))
        assert await audit.counts(db) == before

    world.run(body(world.db))


@pytest.mark.parametrize("host", HOSTS, ids=[host.name for host in HOSTS])
async def test_an_adopted_users_table_names_the_actor_and_is_not_captured(
    host: Host, bedplate_server: Server, bedplate_settings: Settings
) -> None:
    ada, grace, _ = host.keys
    preferences: Any = UserPreferences
    with adopted(bedplate_server, bedplate_settings, host) as place:
        async with await Project.open(settings=place.settings) as project:
            db = project.db
            async with db.transaction(ada) as tx:
                made = await user_preferences.create(tx, preferences(user_id=grace))
                noted = await audit.record(
                    tx,
                    AuditLog(
                        action=AuditAction.ROW_UPDATED,
                        entity_type="note",
                        entity_id="1",
                        description="Noted.",
                    ),
                )
            assert noted.user_id == ada
            entries = await audit.entries(db, Wanted(actor=str(ada)))
            assert told(entries) == [("note", "ROW_UPDATED"), ("user_preferences", "ROW_INSERTED")]
            with acting(host.new_key), pytest.raises(errors.ActorUnknown):
                async with db.transaction() as tx:
                    await user_preferences.update(
                        tx, made.id, assign(UserPreferences.last_workspace_id, "w")
                    )
            assert (await audit.counts(db)).entries == 2
