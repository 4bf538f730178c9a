"""Raw SQL on a test's database, as the app or as its owner."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from bedplate.testing import Clone


def ask(clone: Clone, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the app, in a transaction of its own; return its rows, if it has any."""
    return _run(clone.url, statement, values)


def as_owner(clone: Clone, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the owner, whom no privilege stops; return its rows, if it has any."""
    return _run(clone.owner_url, statement, values)


def _run(url: str, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode(), values or None)
        result = cursor.pgresult
        # Rows may have no columns (SELECT FROM …), so whether there are columns says nothing.
        has_rows = result is not None and result.status == ExecStatus.TUPLES_OK
        return cursor.fetchall() if has_rows else []
