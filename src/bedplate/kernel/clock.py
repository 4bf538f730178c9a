"""The only source of the time in Python; SQL asks `bedplate.now()` and `bedplate.clock()`.

`bedplate.now()` is the transaction's start and what column defaults use. `bedplate.clock()` is the
moment of the call: what must be exact after waiting for a lock (expiry, leases) asks it once the
lock is held. Only a test template replaces them, so that a year can pass in a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.sql.functions import FunctionElement, func

_source: Callable[[], datetime] | None = None

nanoseconds = time.perf_counter_ns
"""A monotonic reading for durations, in nanoseconds."""


def now() -> datetime:
    """Return the current time, aware and in UTC."""
    return datetime.now(UTC) if _source is None else _source()


def freeze(source: Callable[[], datetime] | None) -> None:
    """Make `now` ask `source`, or the machine again (None). For tests only."""
    global _source
    _source = source


def sql_now() -> FunctionElement[datetime]:
    """Return the SQL expression `bedplate.now()`: the start of the transaction."""
    return _call("now")


def sql_clock() -> FunctionElement[datetime]:
    """Return the SQL expression `bedplate.clock()`: the moment of the call."""
    return _call("clock")


def _call(name: str) -> FunctionElement[Any]:
    call: FunctionElement[Any] = getattr(func.bedplate, name)(type_=DateTime(timezone=True))
    return call
