from __future__ import annotations

import psycopg
import pytest

from bedplate.catalog import connect
from bedplate.kernel.lines import KERNEL_LINE
from bedplate.operations import migrate
from bedplate.operations.migrate import books
from tests.databases import TestDatabase
from tests.operations.receipted import Shop, migrated, world

__all__ = ["migrated", "world"]


def test_receipts_and_journal_refuse_change_and_the_app_cannot_write_them(world: Shop) -> None:
    with psycopg.connect(world.database.owner_url, autocommit=True) as owner:
        for statement in (
            "UPDATE bedplate.receipts SET hash = 'x'",
            "DELETE FROM bedplate.journal",
            "TRUNCATE bedplate.receipts",
        ):
            with pytest.raises(psycopg.Error) as refusal:
                owner.execute(statement.encode())
            assert refusal.value.sqlstate == "BP001"
    for url in (world.database.app_url, world.database.reader_url):
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                other.execute("INSERT INTO bedplate.receipts VALUES (9, '{}', 'x', 'y')")


def forged(database: TestDatabase, statement: str) -> None:
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(statement.encode())


@pytest.mark.parametrize(
    ("forgery", "fault"),
    [
        (
            "UPDATE bedplate.receipts SET document = jsonb_set(document, '{rows_touched}', '7')"
            " WHERE number = 2",
            "receipts, entry 2: it was changed",
        ),
        (
            "DELETE FROM bedplate.receipts WHERE number = 3",
            "receipts, entry 4: an entry before it is missing",
        ),
        (
            "UPDATE bedplate.receipts SET hash = encode(sha256('x'), 'hex') WHERE number = 1",
            "receipts, entry 2: it does not follow the one before it",
        ),
        (
            "DELETE FROM bedplate.receipts"
            " WHERE number = (SELECT max(number) FROM bedplate.receipts)",
            "The newest receipt of shop leads to 0001_shelves, but its schema is at 0002_items",
        ),
        (
            "UPDATE bedplate.journal SET document = '{}' WHERE number = 1",
            "journal, entry 1: it was changed",
        ),
    ],
)
def test_whatever_is_forged_breaks_the_chain(world: Shop, forgery: str, fault: str) -> None:
    with connect(world.database.owner_url, autocommit=True) as owner:
        books.note(owner, books.Decision("apply without proof", {"why": "a test"}))
    assert world.chain.faults == ()
    forged(world.database, forgery)
    assert fault in " ".join(world.chain.faults)


def test_a_database_migrated_before_there_were_receipts_gets_books_at_the_next_apply(
    world: Shop,
) -> None:
    forged(
        world.database,
        "DROP TABLE bedplate.receipts, bedplate.journal; DROP FUNCTION bedplate.refuse_in_books()",
    )
    assert world.chain == books.Chain((), ())
    assert not world.apply()
    assert [*world.entries] == []
    world.undo("0001_shelves")
    last: books.Entry = world.entries[-1]
    assert (len(world.entries), last.document["direction"]) == (1, "down")


def test_the_books_go_with_the_kernel_s_schema(world: Shop) -> None:
    for name in ("shop", "bedplate"):
        migrate.undo(world.registry, name, to=None, owner_url=world.database.owner_url)
    assert world.rows("SELECT FROM pg_namespace WHERE nspname IN ('bedplate', 'shop')") == []
    with connect(world.database.owner_url, autocommit=True) as owner:
        assert not books.ensure(owner)
    assert len(world.apply()) == len(KERNEL_LINE.revisions) + 2
    assert world.chain.faults == ()
