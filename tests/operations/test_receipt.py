from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from bedplate.kernel.errors import MigrationFailed, UndeclaredTouch
from bedplate.operations import migrate
from bedplate.operations.migrate import alembic_bridge
from tests.operations.receipted import Shop, migrated, world

__all__ = ["migrated", "world"]


def test_a_touch_that_was_not_declared_is_rolled_back_and_named(world: Shop) -> None:
    world.add("0003_more", "UPDATE shop.items SET price = 2; ALTER TABLE shop.items DROP shelf_id")
    with pytest.raises(UndeclaredTouch) as refusal:
        world.apply()
    said = str(refusal.value)
    for part in (
        "Module shop, revision 0003_more touches what it does not declare",
        "rows: table shop.items (1 rows)",
        "shape: column shop.items.shelf_id",
        "rolled back",
        'touches = Footprint(rows=["shop.items"], shape=["shop.items.shelf_id",',
    ):
        assert part in said
    assert world.rows("SELECT price::int, shelf_id FROM shop.items") == [(1, None)]
    assert migrate.status(world.registry, world.database.app_url)[1].current == "0002_items"
    assert [each.document["revision"] for each in world.entries][-1] == "0002_items"
    assert world.chain.faults == ()


@pytest.mark.parametrize(
    "statements",
    [
        "UPDATE shop.items SET price = 2",
        "TRUNCATE shop.items",
        "ALTER TABLE shop.items ALTER price TYPE numeric(14, 4)",
        "ALTER TABLE shop.items ADD token uuid DEFAULT gen_random_uuid()",
        "ALTER TYPE shop.size RENAME VALUE 'SMALL' TO 'TINY'; CREATE TABLE public.fresh (a int)",
        "ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY; DROP INDEX shop.ix_items_shelf_id",
        "DROP TABLE shop.items",
        "CREATE RULE quiet AS ON DELETE TO shop.shelves DO INSTEAD NOTHING",
    ],
)
def test_the_line_that_the_error_says_to_write_is_enough(world: Shop, statements: str) -> None:
    world.add("0003_more", statements)
    with pytest.raises(UndeclaredTouch) as refusal:
        world.apply()
    world.add("0003_more", statements, touches=str(refusal.value).split("write in its file: ")[1])
    (receipt,) = world.apply()
    assert (receipt.module, receipt.revision) == ("shop", "0003_more")
    assert receipt.rows_touched or receipt.rewritten or receipt.shape_changes
    assert world.chain.faults == ()


def test_a_receipt_says_what_it_touched_and_what_it_held(world: Shop) -> None:
    world.add(
        "0003_more",
        "UPDATE shop.items SET price = 3 WHERE price < 100;"
        "ALTER TABLE shop.shelves ADD more int;"
        "CREATE TRIGGER t BEFORE UPDATE ON shop.shelves FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        touches='touches = Footprint(rows=["shop.items"], behaviour=["shop.shelves"])',
    )
    (receipt,) = world.apply()
    document = receipt.as_dict()
    assert list(document) == [
        *("module", "revision", "rows_touched", "rewritten", "shape_changes"),
        *("locks", "tables_watched", "receipt_ms"),
    ]
    assert (document["rows_touched"], document["rewritten"]) == (1, ())
    assert document["shape_changes"] == ("shop.shelves",)
    assert {lock["table"]: lock["mode"] for lock in document["locks"]} == {
        "shop.items": "RowExclusiveLock",
        "shop.shelves": "AccessExclusiveLock",
    }
    assert document["receipt_ms"] > 0
    assert document["tables_watched"] == 7  # five of the kernel's, shelves and items
    (stored,) = [each for each in world.entries if each.document["revision"] == "0003_more"]
    assert stored.document["rows_touched"] == 1
    assert stored.document["declared"]["behaviour"] == ["shop.shelves"]
    assert stored.document["direction"] == "up"
    assert (stored.document["before"], stored.document["after"]) == ("0002_items", "0003_more")
    assert stored.document["proof"] is None
    assert len(stored.document["sha256"]) == 64
    assert stored.document["by"] == world.database.roles[0]
    assert stored.at.tzinfo is not None


def test_a_lock_is_its_statement_s_and_lasts_to_the_commit(world: Shop) -> None:
    world.module.add(
        "0003_slow",
        "def upgrade():\n"
        '    op.execute("CREATE TABLE shop.fans (shelf uuid REFERENCES shop.shelves,'
        " what text DEFAULT 'secret')\")\n"
        '    op.execute("SELECT FROM shop.items")\n'
        '    op.execute("SELECT pg_sleep(0.3)")\n'
        'def downgrade():\n    op.execute("DROP TABLE shop.fans")\n',
    )
    (receipt,) = world.apply()
    assert (receipt.rows_touched, receipt.shape_changes) == (0, ())
    held = {lock.table: lock for lock in receipt.locks}
    assert held["shop.shelves"].mode == "ShareRowExclusiveLock"
    assert held["shop.shelves"].statement.startswith("CREATE TABLE shop.fans (shelf uuid")
    assert "secret" not in str(receipt)
    # Milliseconds: as microseconds they would be 300,000.
    assert 300 <= held["shop.shelves"].held_ms < 60_000
    assert held["shop.items"].mode == "AccessShareLock"
    assert held["shop.items"].held_ms < held["shop.shelves"].held_ms


def test_the_way_back_has_a_receipt_and_may_take_away_what_the_way_there_added(
    world: Shop,
) -> None:
    world.add(
        "0003_more",
        "ALTER TABLE shop.items ADD more int DEFAULT 1; CREATE TABLE shop.fresh (a int);"
        " CREATE INDEX ix_more ON shop.items (more); INSERT INTO shop.fresh VALUES (1)",
        down="DROP INDEX shop.ix_more; ALTER TABLE shop.items DROP more; DROP TABLE shop.fresh",
    )
    world.apply()
    world.undo("0002_items")
    last = world.entries[-1].document
    assert (last["direction"], last["revision"]) == ("down", "0003_more")
    assert (last["before"], last["after"]) == ("0003_more", "0002_items")
    assert world.chain.faults == ()


@pytest.mark.parametrize(
    "down",
    [
        "ALTER TABLE shop.items DROP more; DELETE FROM shop.items",
        "ALTER TABLE shop.items DROP more; ALTER TABLE shop.items DROP shelf_id",
        "ALTER TABLE shop.items DROP more; DROP TABLE shop.items",
        "ALTER TABLE shop.items DROP more; UPDATE shop.shelves SET label = 'x'",
    ],
)
def test_a_way_back_that_touches_more_is_rolled_back(world: Shop, down: str) -> None:
    world.add("0003_more", "ALTER TABLE shop.items ADD more int", down=down)
    world.apply()
    with pytest.raises(UndeclaredTouch, match="0003_more"):
        world.undo("0002_items")
    assert world.rows("SELECT count(*) FROM shop.items WHERE more IS NULL") == [(1,)]
    assert migrate.status(world.registry, world.database.app_url)[1].current == "0003_more"


@pytest.mark.parametrize(
    "ending",
    [
        "COMMIT",
        "UPDATE shop.items SET price = 2; COMMIT AND CHAIN",
        "rollback; begin",
        "/* ; */ END",
        "PREPARE TRANSACTION 'x'",
        "START TRANSACTION",
    ],
)
def test_a_revision_may_not_end_its_own_transaction(world: Shop, ending: str) -> None:
    world.add("0003_more", ending)
    with pytest.raises(MigrationFailed, match="ends its own transaction"):
        world.apply()
    assert world.rows("SELECT price::int FROM shop.items") == [(1,)]


def test_words_of_a_transaction_inside_of_texts_and_savepoints_are_none(world: Shop) -> None:
    world.add(
        "0003_more",
        "SAVEPOINT a; CREATE TABLE shop.t (a text DEFAULT 'x; COMMIT;'); ROLLBACK TO SAVEPOINT a;"
        " DO $$ BEGIN PERFORM 1; END $$; -- ; COMMIT;\n SELECT 1",
    )
    assert len(world.apply()) == 1


def test_a_commit_behind_the_runner_s_back_is_said_aloud(world: Shop) -> None:
    world.module.add(
        "0003_sly",
        "def upgrade():\n"
        "    op.get_bind().connection.driver_connection.execute('COMMIT')\n"
        "    op.execute('CREATE TABLE shop.left_over ()')\n"
        "def downgrade(): ...\n",
    )
    with pytest.raises(MigrationFailed, match="what it wrote before that is kept"):
        world.apply()


def test_what_a_revision_writes_on_the_bare_connection_is_seen_too(world: Shop) -> None:
    world.module.add(
        "0003_bare",
        "def upgrade():\n"
        "    bare = op.get_bind().connection.driver_connection\n"
        "    bare.execute('UPDATE shop.items SET price = 9')\n"
        "def downgrade(): ...\n",
    )
    with pytest.raises(UndeclaredTouch, match=r"shop\.items \(1 rows\)"):
        world.apply()


def test_a_superuser_s_migration_says_what_could_have_escaped(world: Shop) -> None:
    world.add("0003_more", "CREATE TABLE shop.fresh (a int)")
    (receipt,) = world.apply(owner_url=world.database.admin_url)
    (caveat,) = receipt.caveats
    assert "superuser" in caveat
    assert "caveats" not in receipt.as_dict()
    assert world.entries[-1].document["caveats"] == [caveat]


def test_a_declaration_of_the_parent_covers_its_partitions_and_of_a_table_its_sequence(
    world: Shop,
) -> None:
    world.add(
        "0003_parts",
        "CREATE TABLE shop.events (region text, id int) PARTITION BY LIST (region);"
        " CREATE TABLE shop.events_eu PARTITION OF shop.events FOR VALUES IN ('eu');"
        " CREATE TABLE shop.tickets (id int GENERATED ALWAYS AS IDENTITY, what text)",
    )
    world.add(
        "0004_rows",
        "INSERT INTO shop.events VALUES ('eu', 1), ('eu', 2);"
        " INSERT INTO shop.tickets (what) VALUES ('x')",
        touches='touches = Footprint(rows=["shop.events", "shop.tickets"])',
    )
    assert [each.rows_touched for each in world.apply()] == [0, 3]


@pytest.mark.parametrize("declared", ["rewritten", "rows"])
def test_who_declares_a_rewrite_may_not_empty_the_table(world: Shop, declared: str) -> None:
    world.add(
        "0003_more",
        "TRUNCATE shop.items",
        touches=f'touches = Footprint({declared}=["shop.items"])',
    )
    if declared == "rows":
        assert [each.rewritten for each in world.apply()] == [("shop.items",)]
        return
    with pytest.raises(UndeclaredTouch, match=r"emptied: table shop\.items"):
        world.apply()


def test_additions_to_a_host_are_declared_but_for_the_foreign_keys(world: Shop) -> None:
    with psycopg.connect(world.database.owner_url) as host:
        host.execute("CREATE TABLE public.users (id int PRIMARY KEY)")
    world.add("0003_fans", "CREATE TABLE shop.fans (user_id int REFERENCES public.users)")
    (receipt,) = world.apply()
    assert [(lock.table, lock.mode) for lock in receipt.locks] == [
        ("public.users", "ShareRowExclusiveLock")
    ]
    world.add("0004_more", "ALTER TABLE public.users ADD more int")
    with pytest.raises(UndeclaredTouch, match=r"additive: column public\.users\.more"):
        world.apply()


def test_another_session_s_writes_are_not_the_revision_s(
    world: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("0003_more", "CREATE TABLE shop.fresh (a int)")
    real: Callable[..., Any] = alembic_bridge.run

    def run(*given: Any) -> None:
        real(*given)
        with psycopg.connect(world.database.owner_url, autocommit=True) as other:
            other.execute("INSERT INTO shop.shelves VALUES (gen_random_uuid(), 'other')")
            other.execute("VACUUM FULL shop.shelves")

    monkeypatch.setattr(alembic_bridge, "run", run)
    (receipt,) = world.apply()
    assert (receipt.rows_touched, receipt.rewritten) == (0, ())
    assert [each["verdict"] for each in world.entries[-1].document["touched"]] == ["external"]


def test_an_event_trigger_that_writes_is_named_as_the_possible_writer(world: Shop) -> None:
    with psycopg.connect(world.database.admin_url) as admin:
        admin.execute("CREATE TABLE public.seen (what text)")
        admin.execute(
            "CREATE FUNCTION public.see() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER"
            " AS $$ BEGIN INSERT INTO public.seen VALUES (tg_tag); END $$"
        )
        admin.execute("CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION see()")
    world.add("0003_more", "CREATE TABLE shop.fresh (a int)")
    with pytest.raises(UndeclaredTouch, match="The event trigger watching runs with every") as no:
        world.apply()
    assert "rows: table public.seen" in str(no.value)
    with psycopg.connect(world.database.admin_url) as admin:
        admin.execute("ALTER EVENT TRIGGER watching DISABLE")
    assert len(world.apply()) == 1
