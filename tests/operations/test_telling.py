"""Whoever waits for a migration is told once a second what it does, and how far that is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from bedplate.operations import migrate
from bedplate.operations.migrate import telling
from tests.databases import TestDatabase
from tests.operations.long_line import LongLine

INDEX = """
transactional = False

def upgrade():
    op.execute("CREATE INDEX CONCURRENTLY ix_items_half ON shop.items ((price / 2))")

def downgrade():
    op.execute("DROP INDEX CONCURRENTLY shop.ix_items_half")
"""


@pytest.fixture
def line(shop_database: TestDatabase, tmp_path: Path) -> Iterator[LongLine]:
    made = LongLine(shop_database, tmp_path, rows=25, more={"0003_index": INDEX})
    yield made
    made.owner.close()


@pytest.fixture
def said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(telling, "TELL_EVERY_S", 0.01)
    with caplog.at_level("INFO", "bedplate"):
        yield caplog


def test_an_index_that_is_built_says_how_long_and_how_far(
    line: LongLine, said: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(line.database.owner_url) as older, ThreadPoolExecutor(1) as other:
        older.execute("INSERT INTO shop.items (id, price) VALUES (gen_random_uuid(), 1)")
        applying = other.submit(line.apply)
        while "waiting for writers before build" not in said.text and not applying.done():
            time.sleep(0.01)
        older.rollback()
        assert applying.result(timeout=60) == ["0003_index"]
    assert re.search(r"CREATE INDEX CONCURRENTLY ix_items_half ON .*: \d+ s, waiting", said.text)


def test_a_rehearsal_a_copy_and_a_backup_say_how_far_they_are(
    line: LongLine, said: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    target = migrate.Target(
        registry=line.registry,
        owner_url=line.database.owner_url,
        folder=tmp_path,
        app_url=line.database.app_url,
        admin_url=line.database.admin_url,
    )
    migrate.apply(target)
    parts = ("Copying the database: ", "Rehearsing down shop 0003_index", "Backing up: ")
    assert [part for part in parts if part not in said.text] == []
