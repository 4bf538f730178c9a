"""Ask the database how it is: seldom, with a hard limit, and without telling its address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Text, column, text

from bedplate.kernel import clock
from bedplate.kernel.database import Database
from bedplate.kernel.errors import BedplateError, ConnectionLost, DatabaseError, OutdatedLine
from bedplate.kernel.lines import VERSION_TABLE
from bedplate.kernel.query import Query
from bedplate.kernel.registry import Registry

ANSWER_LIMIT_S = 1.0
"""A probe is answered by then, whatever the database does."""

FRESH_NS = 1_000_000_000
"""How long an answer is given again: the database is asked once in that time at most."""

UNDEFINED_TABLE = "42P01"
NOT_MIGRATED = "The database lacks a module's schema. Run `bedplate migrate apply`."

Component = Callable[[], Mapping[str, object]]
"""Tells how one more part is, without waiting; called for each /health."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether work may be sent here; `reason` says why not, without secrets."""

    ready: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How each part is; `status`, `timestamp` and `error` are plan D's."""

    status: Literal["healthy", "unhealthy"]
    timestamp: datetime
    error: str | None
    components: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Finding:
    """What the database answered last, and at which reading of the monotonic clock."""

    reason: str | None
    taken_ns: int
    latency_ms: float | None = None
    server_version: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict[str, str])


class Health:
    """The health of one open database; async only, for it watches the time while it waits.

    However many probes come at once, one question is asked and its answer shared.
    """

    def __init__(
        self,
        db: Database,
        registry: Registry,
        *,
        components: Mapping[str, Component] | None = None,
    ) -> None:
        self._db = db
        self._registry = registry
        self._components = dict(components or {})
        self._query = _versions_query([line.schema for line in registry.lines])
        self._found: _Finding | None = None
        self._asking: asyncio.Task[_Finding] | None = None

    async def readiness(self) -> Readiness:
        """Tell whether the database answers and has every line at the code's revision."""
        found = await self._finding()
        return Readiness(found.reason is None, found.reason)

    async def report(self) -> Report:
        """Tell how each part is."""
        found = await self._finding()
        return Report(
            status="unhealthy" if found.reason else "healthy",
            timestamp=clock.now(),
            error=found.reason,
            components={
                "database": {
                    "status": "unhealthy" if found.reason else "healthy",
                    "latency_ms": found.latency_ms,
                    "server_version": found.server_version,
                },
                "pool": self._db.statistics(),
                "modules": {
                    line.name: {"current": found.versions.get(line.schema), "head": line.head}
                    for line in self._registry.lines
                },
                **{name: component() for name, component in self._components.items()},
            },
        )

    async def _finding(self) -> _Finding:
        found = self._found
        if found is not None and clock.nanoseconds() - found.taken_ns < FRESH_NS:
            return found
        if self._asking is not None and self._asking.cancelling():
            # It went unanswered, and is still being taken back; nobody else's answer is its end.
            await asyncio.wait({self._asking}, timeout=ANSWER_LIMIT_S)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        # Not `wait_for`: it would wait for the cancelled driver, which itself asks the server.
        await asyncio.wait({asking}, timeout=ANSWER_LIMIT_S)
        if asking.done() and not asking.cancelled():
            self._found = asking.result()
        else:
            asking.cancel()
            limit = f"{ANSWER_LIMIT_S:g} s"
            self._found = _Finding(
                f"The database did not answer within {limit}.", clock.nanoseconds()
            )
        return self._found

    async def _ask(self) -> _Finding:
        started = clock.nanoseconds()
        try:
            rows = await self._rows()
        except DatabaseError as error:
            lacks = error.sqlstate == UNDEFINED_TABLE
            return _Finding(NOT_MIGRATED if lacks else error.message, clock.nanoseconds())
        except BedplateError as error:
            return _Finding(error.message, clock.nanoseconds())
        done = clock.nanoseconds()
        versions = {schema: revision for schema, revision, _ in rows}
        reason: str | None = None
        try:
            self._registry.require_current(versions)
        except OutdatedLine as error:
            reason = str(error)
        return _Finding(
            reason,
            done,
            latency_ms=round((done - started) / 1e6, 2),
            server_version=rows[0][2] if rows else None,
            versions=versions,
        )

    async def _rows(self) -> list[Any]:
        try:
            return await self._db.all(self._query)
        except ConnectionLost:
            # The server may have restarted since the pool last looked at this connection.
            return await self._db.all(self._query)


def _versions_query(schemas: list[str]) -> Query[Any]:
    """Read every line's revision, and the server's version, in one statement."""
    parts = [
        f"SELECT '{schema}', version_num, current_setting('server_version') "
        f"FROM {schema}.{VERSION_TABLE}"
        for schema in schemas
    ]
    return Query(
        text(" UNION ALL ".join(parts)).columns(
            column("schema", Text), column("revision", Text), column("server_version", Text)
        )
    )
