"""Which revision each line's schema is at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from bedplate.catalog import queries
from bedplate.catalog.connection import Connection
from bedplate.kernel.lines import VERSION_TABLE, Line


@dataclass(frozen=True, slots=True)
class LineVersion:
    """What the database says of one line.

    `revision` is None before the first; `foreign` means that a schema of that name exists which
    Bedplate did not make.
    """

    revision: str | None = None
    foreign: bool = False


def read_versions(connection: Connection, lines: Sequence[Line]) -> dict[str, LineVersion]:
    """Return each line's version by the line's name, in two statements."""
    schemas = [line.schema for line in lines]
    found = {
        schema: (comment, has_table)
        for schema, comment, has_table in connection.execute(
            queries.LINES.encode(), [VERSION_TABLE, schemas]
        )
    }
    ours = [line for line in lines if found.get(line.schema) == (line.mark, True)]
    revisions = _revisions(connection, ours)
    return {
        line.name: LineVersion(
            revision=revisions.get(line.name),
            foreign=line.schema in found and found[line.schema][0] != line.mark,
        )
        for line in lines
    }


def _revisions(connection: Connection, lines: Sequence[Line]) -> dict[str, str]:
    if not lines:
        return {}
    selects = [
        sql.SQL("SELECT {}, version_num FROM {}").format(
            sql.Literal(line.name), sql.Identifier(line.schema, VERSION_TABLE)
        )
        for line in lines
    ]
    return dict(connection.execute(sql.SQL(" UNION ALL ").join(selects)).fetchall())
