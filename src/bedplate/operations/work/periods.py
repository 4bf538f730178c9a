"""Periods: when each periodic job comes again. Whoever moves a period on enqueues its job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, SmallInteger, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

from bedplate.kernel import ids
from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Periodic
from bedplate.kernel.leased import UNIQUE_IN
from bedplate.kernel.query import Query

LOOK_AGAIN_S = 5.0
"""How long a worker trusts what it knows of the periods, at most."""

# One that comes more often from now on need not wait for the old time.
_DECLARE: Query[Any] = Query(
    text(
        """
        INSERT INTO bedplate.periods AS known (name, every, next_at)
        SELECT name, every, bedplate.clock()
        FROM unnest(CAST(:names AS text[]), CAST(:everys AS interval[])) AS given (name, every)
        ORDER BY name
        ON CONFLICT (name) DO UPDATE SET every = excluded.every,
            next_at = least(known.next_at, bedplate.clock() + excluded.every)
        WHERE known.every <> excluded.every
        """
    ).bindparams(
        bindparam("names", type_=ARRAY(Text)),
        bindparam("everys", type_=ARRAY(INTERVAL)),
    )
)
# The row of a period is locked by whoever moves it on: every other worker finds it moved. However
# many periods were missed, the next one is in the future. While the job of an earlier period still
# waits or runs, its unique key keeps the next one out.
_BEGIN: Query[Any] = Query(
    text(
        f"""
        WITH at AS MATERIALIZED (SELECT bedplate.clock() AS moment),
        begun AS (
            UPDATE bedplate.periods SET next_at = to_timestamp(
                (floor(extract(epoch FROM moment) / extract(epoch FROM every)) + 1)
                    * extract(epoch FROM every)
            )
            FROM at WHERE name = ANY(:names) AND next_at <= moment RETURNING name
        )
        INSERT INTO bedplate.jobs (id, kind, payload, max_attempts, unique_key)
        SELECT id, name, 'null', max_attempts, name || ':'
        FROM begun JOIN unnest(
            CAST(:names AS text[]), CAST(:ids AS uuid[]), CAST(:max_attempts AS smallint[])
        ) AS given (name, id, max_attempts) USING (name)
        ON CONFLICT (unique_key) WHERE {UNIQUE_IN} DO NOTHING
        """
    ).bindparams(
        bindparam("names", type_=ARRAY(Text)),
        bindparam("ids", type_=ARRAY(Uuid)),
        bindparam("max_attempts", type_=ARRAY(SmallInteger)),
    )
)
_NEXT: Query[Any] = Query(
    text(
        "SELECT CAST(extract(epoch FROM min(next_at) - bedplate.clock()) AS double precision) "
        "FROM bedplate.periods WHERE name = ANY(:names)"
    ).bindparams(bindparam("names", type_=ARRAY(Text)))
)


async def declare(db: Database, periodic: Sequence[Periodic]) -> None:
    """Write down the periods that the code declares; a new one begins at once."""
    await db.run(
        _DECLARE,
        names=[each.name for each in periodic],
        everys=[each.every for each in periodic],
    )


async def begin(db: Database, periodic: Sequence[Periodic]) -> float:
    """Enqueue the jobs of the periods that have begun; return the seconds to the next one."""
    names = [each.name for each in periodic]
    await db.run(
        _BEGIN,
        names=names,
        ids=ids.many(len(names)),
        max_attempts=[each.attempts_max for each in periodic],
    )
    rows = await db.first(_NEXT, names=names)
    return min(LOOK_AGAIN_S, max(0.0, rows[0] if rows and rows[0] is not None else LOOK_AGAIN_S))
