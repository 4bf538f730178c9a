"""Leases: the fenced right to work on one row of a `Leased` table.

Each claim raises the row's epoch. Every write of a holder names the epoch it was given, so one
that was thought dead, and whose row went to another, is refused by the row itself (LeaseLost).
Nobody looks after the dead: an expired lease is claimed like work that is due.
"""

from __future__ import annotations

import random
import socket
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from os import getpid
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Text,
    Update,
    Uuid,
    bindparam,
    column,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import INTERVAL

from bedplate.kernel import ids
from bedplate.kernel import lease_statements as statements
from bedplate.kernel.database import Database, Writer
from bedplate.kernel.errors import BedplateError, LeaseLost, LimitExceeded, UniqueViolation
from bedplate.kernel.leased import TURN, WAITS, Leased, State
from bedplate.kernel.model import mapper_of
from bedplate.kernel.query import Query
from bedplate.kernel.settings import redact

L = TypeVar("L", bound=Leased)

CLAIM_MAX = 1_000
"""The most rows that one claim takes."""

MESSAGE_CHARACTERS_MAX = 500

# Whatever the first wait is, more doublings would only overflow.
_DOUBLINGS_MAX = 20


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write to a row, and under which epoch."""

    id: UUID
    epoch: int
    holder: str

    @classmethod
    def of(cls, row: Leased) -> Lease:
        """Return the lease that a claim has given on the row."""
        return cls(row.id, row.epoch, row.holder or "")


@dataclass(frozen=True, slots=True)
class Claimed(Generic[L]):
    """What a claim brought: rows that are now held, and rows that it ended.

    Those had run out of time and of attempts (FAILED), or were to be cancelled (CANCELLED). `again`
    tells that it brought nothing only because another claim was faster: more may be due.
    """

    held: list[L]
    ended: list[L]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an attempt failed, without a value that could be a secret."""

    code: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """Describe our own errors by code and message, all others by their type and place."""
        if isinstance(error, BedplateError):
            return cls(error.code, redact(error.message)[:MESSAGE_CHARACTERS_MAX])
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
        return cls("exception", f"{type(error).__name__}{place}"[:MESSAGE_CHARACTERS_MAX])


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before the next attempt: doubling up to `longest`, never all at once."""

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(hours=1)

    def after(self, attempts: int) -> timedelta:
        """Return a random wait between half of what is due after so many attempts and all of it."""
        due: timedelta = min(self.longest, self.first * 2 ** min(attempts - 1, _DOUBLINGS_MAX))
        return due * random.uniform(0.5, 1)


DOUBLING = Backoff()
"""From a second to an hour."""


def new_holder() -> str:
    """Return a name for a worker of this process that no other worker has or ever had."""
    return f"{socket.gethostname()[:100]}:{getpid()}:{ids.new().hex[-8:]}"


class Leases(Generic[L]):
    """The leases on one table. Make it once, at module level.

    `wanted` is a further condition of the claim, in SQL, with parameters in `parameters` (their
    values are given to `claim`): the kinds of work that a worker knows.
    """

    def __init__(self, model: type[L], *, wanted: str = "", parameters: Sequence[Any] = ()) -> None:
        self.model = model
        self._claim: Query[L] = Query(_claim(model, wanted, parameters), returns=model)
        errors = statements.with_error("CAST(:code AS text)", "CAST(:message AS text)")
        code, message = bindparam("code", type_=Text), bindparam("message", type_=Text)
        delay, extend = bindparam("delay", type_=INTERVAL), bindparam("extend", type_=INTERVAL)
        self._fail = self._fenced(statements.FAIL.replace("{errors}", errors), delay, code, message)
        self._end = self._fenced(statements.END, bindparam("state", type_=Text))
        self._release = self._fenced(statements.RELEASE)
        self._extend = self._fenced(statements.EXTEND, extend)
        self._extend_all = self._query(
            statements.EXTEND_ALL,
            extend,
            bindparam("ids", type_=ARRAY(Uuid)),
            bindparam("epochs", type_=ARRAY(BigInteger)),
            bindparam("holder", type_=Text),
        )
        self._cancel = self._query(statements.CANCEL, bindparam("id", type_=Uuid))
        self._retry = self._query(statements.RETRY, bindparam("id", type_=Uuid))

    def fenced(self, statement: str, *parameters: Any) -> Query[Any]:
        """Return a Query of a holder's write to the row itself: `{table}` and `{fence}` in it.

        Run it with `write`.
        """
        return self._fenced(statement, *parameters)

    async def write(self, w: Writer, lease: Lease, query: Query[Any], **params: Any) -> Any:
        """Run a fenced Query; return its one value. Raises LeaseLost when it met no row."""
        found = await w.first(query, id=lease.id, epoch=lease.epoch, holder=lease.holder, **params)
        return _held(lease, found)[0]

    async def claim(
        self, w: Writer, holder: str, *, limit: int, lease: timedelta, **wanted: Any
    ) -> Claimed[L]:
        """Take up to `limit` rows that are due, or whose lease ran out, until `lease` from now.

        One statement, which waits for nobody; run it on `db`, for others see the leases once they
        are committed. Raises LimitExceeded above CLAIM_MAX.
        """
        if limit > CLAIM_MAX:
            raise LimitExceeded(f"A claim takes at most {CLAIM_MAX} rows.", "Claim again for more.")
        try:
            rows = await w.all(self._claim, holder=holder, limit=limit, lease=lease, **wanted)
        except UniqueViolation:
            # A row was committed late that comes before one of its key that runs by now. The next
            # claim sees both.
            if not isinstance(w, Database):
                raise
            return Claimed([], [], again=True)
        running = [row for row in rows if row.state == State.RUNNING]
        return Claimed(running, [row for row in rows if row.state != State.RUNNING])

    async def finish(self, w: Writer, lease: Lease) -> None:
        """End the work as SUCCEEDED; in a transaction, together with what else it writes.

        Raises LeaseLost.
        """
        await self._ended(w, lease, State.SUCCEEDED)

    async def end_cancelled(self, w: Writer, lease: Lease) -> None:
        """End the work as CANCELLED: for its holder, once it stopped. Raises LeaseLost."""
        await self._ended(w, lease, State.CANCELLED)

    async def fail(self, w: Writer, lease: Lease, fault: Fault, *, retry_in: timedelta) -> State:
        """Give the row back for another attempt, or for good once its attempts are used up.

        Returns PENDING, FAILED or CANCELLED; the last 50 faults are kept. Raises LeaseLost.
        """
        return State(
            await self.write(
                w, lease, self._fail, delay=retry_in, code=fault.code, message=fault.message
            )
        )

    async def release(self, w: Writer, lease: Lease) -> State:
        """Give the row back as if it had never been claimed. Raises LeaseLost."""
        return State(await self.write(w, lease, self._release))

    async def heartbeat(self, w: Writer, lease: Lease, *, extend: timedelta) -> bool:
        """Let the lease hold for `extend` from now; tell whether cancellation was asked for.

        In a transaction it locks the row: what that transaction writes was written under the lease,
        and nobody can claim the row before it ends. Raises LeaseLost.
        """
        return bool(await self.write(w, lease, self._extend, extend=extend))

    async def heartbeats(
        self, db: Database, leases: Sequence[Lease], *, extend: timedelta
    ) -> Mapping[UUID, bool]:
        """Do the same for all leases of one holder; those that are missing were lost."""
        if not leases:
            return {}
        rows = await db.all(
            self._extend_all,
            ids=[lease.id for lease in leases],
            epochs=[lease.epoch for lease in leases],
            holder=leases[0].holder,
            extend=extend,
        )
        return dict(rows)

    async def cancel(self, w: Writer, id: UUID) -> State | None:
        """Cancel what waits, and ask the holder of what runs to stop.

        Returns CANCELLED or RUNNING, or None where there is no such row or it has ended.
        """
        found = await w.first(self._cancel, id=id)
        return None if found is None else State(found[0])

    async def retry(self, w: Writer, id: UUID) -> bool:
        """Let a FAILED row be tried anew, with all its attempts; False where it is not FAILED.

        Raises UniqueViolation where another row has its unique_key by now.
        """
        return await w.first(self._retry, id=id) is not None

    async def _ended(self, w: Writer, lease: Lease, state: State) -> None:
        values = {"id": lease.id, "epoch": lease.epoch, "holder": lease.holder}
        _held(lease, await w.run(self._end, **values, state=state.value) or None)

    def _fenced(self, statement: str, *parameters: Any) -> Query[Any]:
        return self._query(
            statement.replace("{fence}", statements.FENCE),
            bindparam("id", type_=Uuid),
            bindparam("epoch", type_=BigInteger),
            bindparam("holder", type_=Text),
            *parameters,
        )

    def _query(self, statement: str, *parameters: Any) -> Query[Any]:
        table: Any = mapper_of(self.model).local_table
        # Unaliased, a table is called by its own name.
        written = statement.replace("{table}", table.fullname).replace("{alias}", table.name)
        return Query(text(written).bindparams(*parameters))


def _held(lease: Lease, found: Any) -> Any:
    if found is None:
        raise LeaseLost(f"The lease {lease.epoch} on row {lease.id} is no longer held.")
    return found


def _claim(model: type[Leased], wanted: str, parameters: Sequence[Any]) -> Update:
    table: Any = mapper_of(model).local_table
    condition = f"AND {wanted}" if wanted else ""
    written = statements.PICK.format(
        table=table.fullname,
        wanted=condition,
        turn=TURN,
        waits=WAITS,
        ahead=statements.AHEAD,
        lock=statements.LOCK,
    )
    picked = (
        text(written)
        .bindparams(bindparam("limit", type_=BigInteger), *parameters)
        .columns(
            column("picked_id", Uuid),
            column("ran_out", Boolean),
            column("outcome", Text),
        )
        .cte("picked")
    )
    ran_out = statements.with_error("'lease_expired'", "'The lease of ' || holder || ' ran out.'")
    holder, lease = bindparam("holder", type_=Text), bindparam("lease", type_=INTERVAL)
    held = "CASE WHEN picked.outcome = 'RUNNING' THEN"
    return (
        update(table)
        .where(table.c.id == picked.c.picked_id)
        .values(
            state=picked.c.outcome,
            attempts=text("attempts + CASE WHEN picked.outcome = 'RUNNING' THEN 1 ELSE 0 END"),
            epoch=text("epoch + 1"),
            holder=text(f"{held} CAST(:holder AS text) END").bindparams(holder),
            expires_at=text(f"{held} picked.moment + :lease END").bindparams(lease),
            finished_at=text(f"{held} NULL ELSE picked.moment END"),
            errors=text(f"CASE WHEN picked.ran_out THEN {ran_out} ELSE errors END"),
        )
    )
