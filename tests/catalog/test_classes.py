"""One object changed of each class: it is named, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.catalog import (
    Connection,
    Snapshot,
    canonical,
    connect,
    difference,
    fingerprint,
    read,
    tools,
)
from tests.catalog.museum import HARMLESS, MUSEUM, MUTATIONS, SCHEMAS, Mutation
from tests.databases import Server, TestDatabase, new_database


def filled(text: str, database: TestDatabase) -> bytes:
    owner, app, _ = database.roles
    return text.replace("{app}", app).replace("{owner}", owner).encode()


@pytest.fixture(scope="module")
def museum(server: Server) -> Iterator[TestDatabase]:
    with new_database(server) as database:
        with connect(database.owner_url) as connection:
            connection.execute(filled(MUSEUM, database))
        yield database


@pytest.fixture(scope="module")
def connection(museum: TestDatabase) -> Iterator[Connection]:
    with connect(museum.owner_url) as made:
        yield made


@pytest.fixture(scope="module")
def original(connection: Connection) -> Snapshot:
    return read(connection, SCHEMAS)


def after(connection: Connection, statement: bytes) -> Snapshot:
    with connection.transaction(force_rollback=True):
        connection.execute(statement)
        return read(connection, SCHEMAS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.id)
def test_what_changed_is_named_and_nothing_else_is(
    museum: TestDatabase, connection: Connection, original: Snapshot, mutation: Mutation
) -> None:
    if connection.info.server_version < mutation.since * 10_000:
        pytest.skip(f"PostgreSQL {mutation.since} and later")
    changed = after(connection, filled(mutation.statement, museum))
    expected = [
        (action, kind, filled(name, museum).decode()) for action, kind, name in mutation.named
    ]
    found = difference(original, changed)
    assert [(each.action, each.kind, each.name) for each in found] == expected
    assert all(each.before != each.after and each.sentence for each in found)
    assert fingerprint(changed) != fingerprint(original)
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    back = [(opposite[each.action], each.kind, each.name) for each in difference(changed, original)]
    assert back == expected


@pytest.mark.parametrize("statement", HARMLESS)
def test_nothing_is_named_when_nothing_changed(
    museum: TestDatabase, connection: Connection, original: Snapshot, statement: str
) -> None:
    same = after(connection, filled(statement, museum))
    assert difference(original, same) == ()
    assert fingerprint(same) == fingerprint(original)


def test_it_is_the_same_in_a_database_made_at_another_time(
    server: Server, museum: TestDatabase, original: Snapshot
) -> None:
    with new_database(server) as other, connect(other.owner_url) as connection:
        # Other oids, and other roles that hold nothing.
        connection.execute("CREATE TABLE public.noise (id serial); DROP TABLE public.noise")
        connection.execute(filled(MUSEUM, museum))
        assert canonical(read(connection, SCHEMAS)) == canonical(original)


def test_it_is_the_same_in_a_dump_restored_elsewhere(
    server: Server, museum: TestDatabase, original: Snapshot, tmp_path: Path
) -> None:
    with connect(museum.admin_url) as connection:
        programs = tools(connection.info.server_version // 10_000)
    programs.dump(museum.admin_url, tmp_path / "dump")
    with new_database(server) as other:
        programs.restore(other.admin_url, tmp_path / "dump")
        with connect(other.owner_url) as connection:
            assert canonical(read(connection, SCHEMAS)) == canonical(original)


def test_owners_are_told_apart_only_when_asked(museum: TestDatabase, original: Snapshot) -> None:
    _, app, _ = museum.roles
    with connect(museum.admin_url) as connection:
        connection.execute(filled("ALTER TABLE shop.shelves OWNER TO {app}", museum))
        changed = read(connection, SCHEMAS)
        connection.rollback()
    assert difference(original, changed) == ()
    (change,) = difference(original, changed, owners=True)
    assert (change.kind, change.name, change.after) == ("owner", "shop.shelves", app)
    assert fingerprint(original) == fingerprint(changed)
    assert fingerprint(original, owners=True) != fingerprint(changed, owners=True)
