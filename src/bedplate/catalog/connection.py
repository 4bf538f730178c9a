"""A blocking connection for work on the schema; the product's own work goes through the pool."""

from __future__ import annotations

from typing import Any

import psycopg

from bedplate.kernel import sqlstates

CONNECT_TIMEOUT_S = 10

Connection = psycopg.Connection[tuple[Any, ...]]
"""A blocking psycopg connection whose rows are tuples."""


def connect(url: str, *, autocommit: bool = False, purpose: str = "catalog") -> Connection:
    """Connect, in `with` to close (and commit) at the end.

    Raises DatabaseUnreachable or AuthenticationFailed; neither shows the URL's password.
    """
    try:
        return psycopg.connect(
            url,
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"bedplate {purpose}",
        )
    except psycopg.OperationalError as error:
        raise sqlstates.unreachable(error) from None
