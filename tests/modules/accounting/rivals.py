"""Two clients over the same rows: the second comes while the first has not committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from bedplate.testing import Clone
from tests.asking import waiting
from tests.modules.accounting.deeds import rule_of

WAIT_S = 60.0
# Anything that waits for a lock will do: of the two, only the second can.
WAITING = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid = %s AND wait_event_type = 'Lock'
"""

Request = tuple[str, list[Any] | dict[str, Any]]
"""A statement and its values."""


def told(url: str, request: Request) -> str:
    """How the database answers a statement, asked alone: "done", or the rule that it breaks."""
    try:
        with psycopg.connect(url) as connection:
            connection.execute(request[0].encode(), request[1] or None)
    except psycopg.Error as error:
        return rule_of(error)
    return "done"


def wait_until(clone: Clone, enough: Callable[[int], bool]) -> None:
    """Wait until it is enough, which is asked with how many clients wait for a lock."""
    deadline = time.monotonic() + WAIT_S
    while not enough(waiting(clone)):
        assert time.monotonic() < deadline, "it is never enough"
        time.sleep(0.005)


def meanwhile(
    clone: Clone,
    first: Request,
    second: Request,
    *,
    between: Callable[[], object] | None = None,
    then: Request | None = None,
    commits: bool = True,
) -> list[str]:
    """Ask the second while the first is not committed; tell how all but the first were answered.

    Once the second waits for the first, or has its answer without waiting, `between` is called,
    the first asks `then`, and commits or rolls back.
    """
    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(clone.url) as one,
        psycopg.connect(clone.url) as other,
        psycopg.connect(clone.url, autocommit=True) as onlooker,
    ):
        one.execute(first[0].encode(), first[1] or None)
        answer = threads.submit(_asked, other, second)
        deadline = time.monotonic() + WAIT_S
        while not answer.done():
            if onlooker.execute(WAITING.encode(), [other.info.backend_pid]).fetchall()[0][0]:
                break
            assert time.monotonic() < deadline, "the second neither waits nor ends"
            time.sleep(0.005)
        if between is not None:
            between()
        more = [] if then is None else [_asked(one, then)]
        if commits:
            one.commit()
        else:
            one.rollback()
        return [answer.result(), *more]


def _asked(connection: psycopg.Connection[Any], request: Request) -> str:
    try:
        connection.execute(request[0].encode(), request[1] or None)
        connection.commit()
    except psycopg.Error as error:
        connection.rollback()
        return rule_of(error)
    return "done"
