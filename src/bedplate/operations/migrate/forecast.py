"""What the locks of a rehearsal will hold up, by how busy the live tables are."""

from __future__ import annotations

from collections.abc import Iterable

from bedplate.catalog import connect
from bedplate.operations.migrate.proof import Blocking, Rehearsed
from bedplate.operations.migrate.receipt import HeldLock
from bedplate.operations.migrate.target import Target

# PostgreSQL counts rows written and scans begun, not statements; for the short statements of an
# application that is near enough. Seconds since the counters were reset, or the server started.
RATES = """
SELECT s.schemaname || '.' || s.relname,
       (s.n_tup_ins + s.n_tup_upd + s.n_tup_del) / since.seconds,
       (coalesce(s.seq_scan, 0) + coalesce(s.idx_scan, 0)) / since.seconds
FROM pg_catalog.pg_stat_user_tables s,
LATERAL (
    SELECT greatest(extract(epoch FROM bedplate_clock.now - greatest(
        d.stats_reset, pg_catalog.pg_postmaster_start_time())), 1)::float8 AS seconds
    FROM pg_catalog.pg_stat_database d,
         (SELECT state_change AS now FROM pg_catalog.pg_stat_activity
          WHERE pid = pg_catalog.pg_backend_pid()) bedplate_clock
    WHERE d.datname = pg_catalog.current_database()
) since
WHERE s.schemaname || '.' || s.relname = ANY (%s)
"""
READERS_WAIT = ("AccessExclusiveLock",)
WRITERS_WAIT = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", *READERS_WAIT)


def forecast(target: Target, steps: Iterable[Rehearsed]) -> tuple[Blocking, ...]:
    """Return the locks that statements of an application wait for, the longest first.

    Of several on one table in one revision the strongest counts, and the longest hold.
    """
    longest: dict[tuple[str, str, str], HeldLock] = {}
    for step in steps:
        for lock in step.locks:
            key = (step.module, step.revision, lock.table)
            known = longest.get(key)
            if lock.mode in WRITERS_WAIT and (known is None or _weight(lock) > _weight(known)):
                longest[key] = lock
    if not longest:
        return ()
    with connect(target.owner_url, autocommit=True, purpose="plan") as live:
        tables = sorted({lock.table for lock in longest.values()})
        rates = {name: rest for name, *rest in live.execute(RATES.encode(), [tables])}
    found: list[Blocking] = []
    for (module, revision, table), lock in longest.items():
        if table not in rates:
            continue  # an earlier revision of the plan makes it
        writes, reads = rates[table]
        per_second = writes + (reads if lock.mode in READERS_WAIT else 0.0)
        waiting = round(per_second * lock.held_ms / 1000, 2)
        found.append(
            Blocking(
                module=module,
                revision=revision,
                table=table,
                mode=lock.mode,
                held_ms=lock.held_ms,
                statements=waiting,
            )
        )
    return tuple(sorted(found, key=lambda each: -each.held_ms))


def _weight(lock: HeldLock) -> tuple[int, float]:
    return WRITERS_WAIT.index(lock.mode), lock.held_ms
