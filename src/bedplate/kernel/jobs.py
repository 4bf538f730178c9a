"""Jobs: work for later, asked for in the transaction that makes it necessary.

A module declares its jobs in `jobs.py` and names them in its manifest; `enqueue` writes a row of
`bedplate.jobs`, which commits or rolls back with everything else. A worker (`bedplate work`, or
the one that `bedplate up` runs) claims the row under a lease and runs the body.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import ARRAY, Boolean, SmallInteger, Text, Uuid, bindparam, text
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel import clock, ids
from bedplate.kernel.database import Database, Writer
from bedplate.kernel.errors import (
    BedplateError,
    FieldInvalid,
    LimitExceeded,
    RegistryError,
    SerializationFailure,
    UsageError,
)
from bedplate.kernel.leased import ATTEMPTS_MAX, KEY_CHARACTERS_MAX, PRIORITY_MAX, UNIQUE_IN, Leased
from bedplate.kernel.leases import DOUBLING, Backoff, Lease, Leases
from bedplate.kernel.model import Model
from bedplate.kernel.query import Query
from bedplate.kernel.telemetry import logger
from bedplate.kernel.types import document, moment

P = TypeVar("P")

CHANNEL = "bedplate_jobs"
"""What workers LISTEN on."""

WAKE_EVERY_MS = 50
"""A process wakes the workers at most so often; a worker woken looks again soon by itself."""

PAYLOAD_BYTES_MAX = 64 * 1024
ENQUEUE_MAX = 10_000
"""The most jobs that one enqueue_many takes."""

_TRIES = 10
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class StoredJob(Leased, Model):
    """One row of `bedplate.jobs`."""

    __tablename__ = "jobs"
    __table_args__ = ({"schema": "bedplate", "comment": "Work for later, and what became of it."},)

    kind: Mapped[str] = mapped_column(Text)
    payload: Mapped[Any] = mapped_column(document())
    progress: Mapped[int | None] = mapped_column(SmallInteger, init=False, default=None)
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now()
    )


JOB_LEASES: Leases[StoredJob] = Leases(
    StoredJob, wanted="kind = ANY(:kinds)", parameters=(bindparam("kinds", type_=ARRAY(Text)),)
)
"""The leases on jobs; `kinds` are the names of the jobs a worker knows."""

_PROGRESS = JOB_LEASES.fenced(
    "UPDATE {table} SET progress = :percent WHERE {fence} RETURNING true",
    bindparam("percent", type_=SmallInteger),
)

_OPTIONS = (
    bindparam("kind", type_=Text),
    bindparam("priority", type_=SmallInteger),
    bindparam("run_at", type_=moment()),
    bindparam("max_attempts", type_=SmallInteger),
)
_INSERT: Query[Any] = Query(
    text(
        "INSERT INTO bedplate.jobs (id, kind, payload, priority, run_at, max_attempts, serial_key) "
        "VALUES (:id, :kind, CAST(:payload AS jsonb), :priority, "
        "coalesce(:run_at, bedplate.now()), :max_attempts, :serial_key)"
    ).bindparams(
        *_OPTIONS,
        bindparam("id", type_=Uuid),
        bindparam("payload", type_=Text),
        bindparam("serial_key", type_=Text),
    )
)
# Rows of one unique key are taken in the order of the keys, so that two batches cannot deadlock.
# A conflict with a row that this statement does not see yet gives no id: it is asked again.
_INSERT_MANY: Query[Any] = Query(
    text(
        f"""
        WITH given AS (
            SELECT * FROM unnest(
                CAST(:ids AS uuid[]), CAST(:payloads AS text[]),
                CAST(:serial_keys AS text[]), CAST(:unique_keys AS text[])
            ) AS given (id, payload, serial_key, unique_key)
        ),
        made AS (
            INSERT INTO bedplate.jobs (id, kind, payload, priority, run_at,
                max_attempts, serial_key, unique_key, unique_kept)
            SELECT id, :kind, CAST(payload AS jsonb), :priority, coalesce(:run_at, bedplate.now()),
                :max_attempts, serial_key, unique_key, :unique_kept
            FROM given ORDER BY unique_key, id
            ON CONFLICT (unique_key) WHERE {UNIQUE_IN} DO NOTHING
            RETURNING id, unique_key
        )
        SELECT id, unique_key FROM made WHERE unique_key IS NOT NULL
        UNION ALL
        SELECT jobs.id, jobs.unique_key FROM bedplate.jobs JOIN given USING (unique_key)
        WHERE {UNIQUE_IN}
        """
    ).bindparams(
        *_OPTIONS,
        bindparam("ids", type_=ARRAY(Uuid)),
        bindparam("payloads", type_=ARRAY(Text)),
        bindparam("serial_keys", type_=ARRAY(Text)),
        bindparam("unique_keys", type_=ARRAY(Text)),
        bindparam("unique_kept", type_=Boolean),
    )
)
_NOTIFY: Query[Any] = Query(text(f"SELECT pg_notify('{CHANNEL}', '')"))


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > KEY_CHARACTERS_MAX // 2:
        raise RegistryError(
            f"The job name {name!r} is not module.verb in lower case.", "Rename the job."
        )


def _require_between(name: str, value: int, smallest: int, largest: int) -> None:
    if not smallest <= value <= largest:
        raise FieldInvalid(
            f"{name} is {value}, which is out of range.", f"Give {smallest} to {largest}."
        )


@dataclass(slots=True)
class Running(Generic[P]):
    """What a job's body is told, and what it may say while it runs."""

    id: UUID
    payload: P
    attempt: int
    lease: Lease
    extend: timedelta
    finished: bool = False

    async def finish(self, w: Writer) -> None:
        """End the job as SUCCEEDED in the transaction of its work: both commit, or neither.

        Without it the worker ends the job once the body returned, and a crash in between runs the
        body again. Raises LeaseLost where the job went to another worker.
        """
        await JOB_LEASES.finish(w, self.lease)
        if isinstance(w, Database):
            self.finished = True
        else:
            _after_commit(w, self._finish)

    async def hold(self, w: Writer) -> None:
        """Write the rest of the transaction under the lease; raises LeaseLost where it is lost.

        Nobody else can take the job before the transaction ends. Until then, other handles wait
        for the job's row: report progress on this one.
        """
        await JOB_LEASES.heartbeat(w, self.lease, extend=self.extend)

    async def progress(self, w: Writer, percent: int) -> None:
        """Say how far the job is, 0 to 100; raises LeaseLost."""
        if not 0 <= percent <= 100:
            raise FieldInvalid("Progress is a whole number from 0 to 100.", "Give per cent.")
        await JOB_LEASES.write(w, self.lease, _PROGRESS, percent=percent)

    def _finish(self) -> None:
        self.finished = True


Body = Callable[[Database, Running[P]], Awaitable[None]]
"""Called as `await body(db, running)`. It may run more than once: after a crash, after a lease
that ran out, after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[P]):
    """A kind of work. `name` begins with the module's (credits.expire_grants) and is stored.

    `payload` is the type of what it is given, as msgspec can decode it from JSON. After
    `attempts_max` attempts (a crash is one) it is FAILED and stays for `bedplate work retry`.
    """

    name: str
    payload: type[P]
    run: Body[P]
    attempts_max: int = 10
    backoff: Backoff = DOUBLING

    def __post_init__(self) -> None:
        _require_name(self.name)
        _require_between("attempts_max", self.attempts_max, 1, ATTEMPTS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """Work that comes again `every` so often, counted from 1970 in UTC: a day begins at midnight.

    Whatever the number of workers, each period is run once and one at a time; of periods that were
    missed one is caught up. It runs first when a worker first sees it.
    """

    name: str
    every: timedelta
    run: Body[None]
    attempts_max: int = 5
    backoff: Backoff = DOUBLING

    def __post_init__(self) -> None:
        if self.every < timedelta(seconds=1):
            raise RegistryError(f"{self.name} comes more than once a second.", "Give it longer.")
        _ = self.job

    @property
    def job(self) -> Job[None]:
        """The job that one period is."""
        return Job(
            name=self.name,
            payload=type(None),
            run=self.run,
            attempts_max=self.attempts_max,
            backoff=self.backoff,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """When and beside what a job runs.

    `run_at` is the earliest start (None: at once). A step of `priority` (-20 to 20) is worth a
    minute of waiting. Jobs of one `serial_key`, of whatever kind, run one after the other in the
    order in which they were enqueued; one that waits for another attempt makes the rest wait. While
    a job of the same kind and `unique_key` waits or runs, no second one is made; nor, if that one
    was `unique_kept`, once it SUCCEEDED and for as long as its row stays (7 days).
    """

    run_at: datetime | None = None
    priority: int = 0
    serial_key: str | None = None
    unique_key: str | None = None
    unique_kept: bool = False

    def __post_init__(self) -> None:
        _require_between("priority", self.priority, -PRIORITY_MAX, PRIORITY_MAX)


_PLAIN = JobOptions()


async def enqueue(w: Writer, job: Job[P], payload: P, *, options: JobOptions = _PLAIN) -> UUID:
    """Ask for a job in the caller's transaction (or at once on `db`); return its id.

    With a unique_key that a job has already, that one's id. Raises FieldInvalid for a payload of
    another type, LimitExceeded above 64 KiB.
    """
    if options.unique_key is not None:
        return (await enqueue_many(w, job, [payload], options=options))[0]
    id = ids.new()
    values = _values(job, options)
    serial_key = _key("serial_key", options.serial_key)
    await w.run(_INSERT, id=id, payload=_encoded(job, payload), serial_key=serial_key, **values)
    await _wake_after(w)
    return id


async def enqueue_many(
    w: Writer, job: Job[P], payloads: Iterable[P], *, options: JobOptions = _PLAIN
) -> list[UUID]:
    """Ask for many jobs of one kind in one statement; return their ids in the payloads' order.

    Raises LimitExceeded above 10,000, and what `enqueue` raises. With a unique_key they are one.
    """
    encoded = [_encoded(job, payload) for payload in payloads]
    if len(encoded) > ENQUEUE_MAX:
        raise LimitExceeded(f"At most {ENQUEUE_MAX} jobs at a time.", "Enqueue them in batches.")
    if not encoded:
        return []
    made = ids.many(len(encoded))
    serial_key = _key("serial_key", options.serial_key)
    unique_key = _key("unique_key", options.unique_key, prefix=f"{job.name}:")
    if unique_key is not None:
        # The first of them stands for all.
        encoded = encoded[:1]
    ids_ = made[: len(encoded)]
    for _ in range(_TRIES):
        found = await w.all(
            _INSERT_MANY,
            ids=ids_,
            payloads=encoded,
            serial_keys=[serial_key] * len(encoded),
            unique_keys=[unique_key] * len(encoded),
            unique_kept=options.unique_kept,
            **_values(job, options),
        )
        if unique_key is None or found:
            await _wake_after(w)
            return ids_ if unique_key is None else [found[0][0]] * len(made)
    raise SerializationFailure(f"Jobs of {job.name} with one unique_key come and end too fast.")


async def wake(db: Database) -> None:
    """Tell the workers that there is work, unless this process did a moment ago.

    A NOTIFY lost or left out costs a wait until the next poll and nothing else, so its failure is
    only logged.
    """
    now = clock.nanoseconds()
    if now - _woken.get(db, -WAKE_EVERY_MS * 1_000_000) < WAKE_EVERY_MS * 1_000_000:
        return
    _woken[db] = now
    try:
        await db.run(_NOTIFY)
    except BedplateError as error:
        logger.info("workers were not woken: %s", error.code)


_woken: WeakKeyDictionary[Database, int] = WeakKeyDictionary()


async def _wake_after(w: Writer) -> None:
    """Wake the workers once the jobs are committed: PostgreSQL orders commits that NOTIFY."""
    if isinstance(w, Database):
        await wake(w)
    else:
        _after_commit(w, lambda: wake(w.database))


def _after_commit(tx: Any, hook: Callable[[], Awaitable[None] | None]) -> None:
    # A host's session commits out of our sight. The poll finds the job all the same, and a worker
    # that does not know of a finish looks into the row.
    with suppress(UsageError):
        tx.after_commit(hook)


def _values(job: Job[Any], options: JobOptions) -> dict[str, Any]:
    return {
        "kind": job.name,
        "priority": options.priority,
        "run_at": options.run_at,
        "max_attempts": job.attempts_max,
    }


def _encoded(job: Job[P], payload: P) -> str:
    declared: Any = job.payload
    # Types such as list[int] are checked once they are decoded.
    if isinstance(declared, type) and not isinstance(payload, declared):
        raise FieldInvalid(
            f"{job.name} takes {declared.__name__}, not {type(payload).__name__}.",
            "Give it a payload of its declared type.",
        )
    try:
        encoded = msgspec.json.encode(payload)
    except TypeError as error:
        raise FieldInvalid(
            f"The payload of {job.name} is no JSON: {error}.", "Use msgspec's types in it."
        ) from None
    if len(encoded) > PAYLOAD_BYTES_MAX:
        raise LimitExceeded(
            f"The payload of {job.name} has {len(encoded)} bytes; {PAYLOAD_BYTES_MAX} are allowed.",
            "Store the data in a row of its own and pass its key.",
        )
    return encoded.decode()


def _key(name: str, key: str | None, *, prefix: str = "") -> str | None:
    if key is None:
        return None
    whole = prefix + key
    if not key or len(whole) > KEY_CHARACTERS_MAX:
        raise FieldInvalid(
            f"A {name} is neither empty nor longer than {KEY_CHARACTERS_MAX - len(prefix)}.",
            "Use the key of the row it is about.",
        )
    return whole


Jobs = Sequence[Job[Any] | Periodic]
"""What a module's jobs.py declares."""
