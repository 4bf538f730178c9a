"""What rows would go with a line's revisions, before they are undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from bedplate.catalog import Connection, connect, read
from bedplate.kernel.errors import ModuleNotFound
from bedplate.kernel.lines import VERSION_TABLE
from bedplate.operations.migrate import books
from bedplate.operations.migrate.status import read_status
from bedplate.operations.migrate.target import Target


@dataclass(frozen=True, slots=True)
class Loss:
    """One table that would go, or one column of a table that stays; `rows` hold something in it."""

    name: str
    rows: int


def losses(target: Target, name: str, to: str | None) -> tuple[Loss, ...]:
    """Return what undoing a line to `to` would lose, by the receipts of its revisions.

    A revision without a receipt counts for nothing, unless the whole schema goes. Tables without
    a row are left out. Raises ModuleNotFound.
    """
    line = next((each for each in target.registry.lines if each.name == name), None)
    if line is None:
        raise ModuleNotFound(f"Module {name} is not enabled.", "See `bedplate module list`.")
    with connect(target.owner_url, autocommit=True, purpose="undo") as connection:
        (found,) = read_status(connection, [line])
        if found.current is None or found.current not in line.revisions:
            return ()
        snapshot = read(connection, [line.schema])
        tables = {table.full_name: table for table in snapshot.tables if "view" not in table.kind}
        tables.pop(f"{line.schema}.{VERSION_TABLE}", None)
        if to is None:
            gone = set(tables)
        else:
            undone = line.revisions[line.revisions.index(to) + 1 :] if to in line.revisions else ()
            made = [books.made_by(connection, line, revision) or set() for revision in undone]
            gone = {each for found_names in made for _, each in found_names}
        lost = [Loss(each, _rows(connection, each)) for each in sorted(gone & tables.keys())]
        lost += _columns(connection, gone, set(tables) - gone)
    return tuple(each for each in lost if each.rows)


def _columns(connection: Connection, gone: set[str], kept: set[str]) -> Iterator[Loss]:
    for each in sorted(gone):
        table, _, column = each.rpartition(".")
        if table in kept:
            count = sql.SQL("SELECT count({}) FROM {}").format(
                sql.Identifier(column), sql.Identifier(*table.split(".", 1))
            )
            row = connection.execute(count).fetchone()
            assert row is not None, "count answers one row"
            yield Loss(each, row[0])


def _rows(connection: Connection, table: str) -> int:
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".", 1)))
    row = connection.execute(count).fetchone()
    assert row is not None, "count answers one row"
    return int(row[0])
