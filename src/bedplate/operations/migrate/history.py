"""What was done to a database's schemas: when, by whom, and what each revision touched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bedplate.catalog import Connection, connect
from bedplate.operations.migrate import books
from bedplate.operations.migrate.target import Target

JOURNAL = "SELECT document FROM bedplate.journal ORDER BY number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One entry: a revision that ran (`what` is up or down), or what an operator decided.

    `facts` are short and without row values: what was touched, or the details of the decision.
    """

    at: datetime
    by: str
    what: str
    module: str | None
    revision: str | None
    facts: dict[str, Any]


def history(target: Target) -> tuple[Happening, ...]:
    """Return all that the runner's books hold, oldest first; any role that may read may ask.

    A database without books has no history. Raises DatabaseUnreachable or AuthenticationFailed.
    """
    url = target.app_url or target.owner_url
    with connect(url, autocommit=True, purpose="history") as connection:
        if not books.present(connection):
            return ()
        found = [_ran(each.document) for each in books.receipts(connection)]
        found += [_decided(document) for document in _journal(connection)]
    return tuple(sorted(found, key=lambda each: each.at))


def _journal(connection: Connection) -> list[dict[str, Any]]:
    return [document for (document,) in connection.execute(JOURNAL)]


def _ran(document: dict[str, Any]) -> Happening:
    kept = ("rows_touched", "rewritten", "shape_changes", "caveats")
    return Happening(
        at=datetime.fromisoformat(document["at"]),
        by=document.get("by", ""),
        what=document["direction"],
        module=document["module"],
        revision=document["revision"],
        facts={name: document[name] for name in kept if document.get(name)},
    )


def _decided(document: dict[str, Any]) -> Happening:
    details = document.get("details", {})
    return Happening(
        at=datetime.fromisoformat(document["at"]),
        by=document.get("by", ""),
        what=document["what"],
        module=details.get("module"),
        revision=details.get("revision"),
        facts={name: each for name, each in details.items() if name not in ("module", "revision")},
    )
