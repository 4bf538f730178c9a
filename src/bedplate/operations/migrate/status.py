"""Where each line stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bedplate.catalog import Connection, connect, read_versions
from bedplate.kernel.errors import SchemaNotOurs
from bedplate.kernel.lines import Line
from bedplate.kernel.registry import Registry


@dataclass(frozen=True, slots=True)
class LineStatus:
    """One line: what the database is at (`current`) and what the code has (`head`).

    `pending` names the revisions that apply would run; "ahead" means that the database was
    migrated by newer code than this, and "foreign" that the schema is not Bedplate's.
    """

    name: str
    schema: str
    current: str | None
    head: str | None
    pending: tuple[str, ...]
    state: Literal["current", "behind", "ahead", "foreign"]


def status(registry: Registry, url: str) -> tuple[LineStatus, ...]:
    """Read where each line stands, the kernel's first; any role may ask.

    Raises DatabaseUnreachable or AuthenticationFailed.
    """
    with connect(url, autocommit=True, purpose="status") as connection:
        return read_status(connection, registry.lines)


def read_status(connection: Connection, lines: Sequence[Line]) -> tuple[LineStatus, ...]:
    """Read where these lines stand over a connection that is open already."""
    versions = read_versions(connection, lines)
    return tuple(
        _status(line, versions[line.name].revision, versions[line.name].foreign) for line in lines
    )


def refuse_foreign(lines: Sequence[LineStatus]) -> None:
    """Raise SchemaNotOurs when a schema of a module's name was not made by Bedplate."""
    names = [line.schema for line in lines if line.state == "foreign"]
    if names:
        raise SchemaNotOurs(
            f"The database has a schema {', '.join(names)} that Bedplate did not make.",
            "Use another database, or disable the module; nothing was changed.",
        )


def _status(line: Line, current: str | None, foreign: bool) -> LineStatus:
    known = current is None or current in line.revisions
    pending = line.pending(current) if known and not foreign else ()
    state: Literal["current", "behind", "ahead", "foreign"] = (
        "foreign" if foreign else "ahead" if not known else "behind" if pending else "current"
    )
    return LineStatus(line.name, line.schema, current, line.head, pending, state)
