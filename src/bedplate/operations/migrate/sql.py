"""A line as plain SQL, for a host that runs migrations with a tool of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from bedplate.catalog import Connection, connect
from bedplate.kernel.backfills import Backfill, Filled, Restored, run_by
from bedplate.kernel.errors import BackfillFailed, ModuleNotFound, UsageError
from bedplate.kernel.lines import Line
from bedplate.operations.migrate import alembic_bridge, audit_view, schemas
from bedplate.operations.migrate.failures import explained
from bedplate.operations.migrate.ground import grounds
from bedplate.operations.migrate.made import Revisions, run_to
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.surroundings import Surroundings, survey
from bedplate.operations.migrate.target import Target

HEAD = """\
-- Bedplate {what}
-- Recorded while it ran on an empty database of PostgreSQL {major}. Run it as the owner's role,
-- with ON_ERROR_STOP. It moves the version rows too: `bedplate migrate status` knows of it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which part of which lines: after `since` (None: the beginning) up to `to` (None: the head).

    With `down` the way back instead: from `since` (None: the head) to `to` (None: nothing left).
    """

    module: str | None = None
    since: str | None = None
    to: str | None = None
    down: bool = False


def as_sql(target: Target, part: Part) -> str:
    """Run lines on an empty copy and return every statement that was sent, as one script.

    Each revision is a transaction that ends with its version row, as the runner would do it; one
    that is not transactional stands outside of any. Raises ModuleNotFound, UsageError (no such
    revision), BackfillFailed (a script cannot run one), RehearsalRefused, and what the revisions
    raise.
    """
    lines = _lines(target, part)
    for line in lines:
        alembic_bridge.verify(line)
    ways = [(line, tuple(_steps(line, part))) for line in lines]
    said: list[str] = []
    with grounds(target) as ground, ground.empty() as copy:
        run_to(target, copy, _begin(target, ways, part))
        with (
            connect(copy.owner_url, autocommit=True, purpose="sql") as connection,
            survey(
                target.registry, connection, copy.owner_url, copy.app_url, target.bindings
            ) as surroundings,
        ):
            major = connection.info.server_version // 10_000
            for line, steps in ways:
                if part.down:
                    said.append(_view(connection, target, surroundings, without=line.name))
                said += [_recorded(step, surroundings) for step in steps]
            said.append(_view(connection, target, surroundings))
    steps = tuple(step for _, each in ways for step in each)
    names = ", ".join(f"{step.line.name} {step.revision}" for step in steps)
    what = f"{'back: ' if part.down else ''}{names or 'nothing to do'}"
    return "\n".join([HEAD.format(what=what, major=major), *filter(None, said)])


class _Recorder(psycopg.Cursor[Any]):
    """A cursor that keeps what it sends, with the values written out."""

    said: list[str]

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = psycopg.ClientCursor(self.connection).mogrify(query, params)
        self.said.append(text.strip().rstrip(";"))
        return super().execute(query, params, **options)


@contextmanager
def _recording(connection: Connection) -> Generator[list[str]]:
    said: list[str] = []
    before = connection.cursor_factory
    connection.cursor_factory = type("Recorder", (_Recorder,), {"said": said})
    try:
        yield said
    finally:
        connection.cursor_factory = before


class _Silent:
    """Hears of a transaction's statements, and keeps none."""

    def before_begin(self, connection: Connection) -> None: ...

    def begins(self, statement: str) -> None: ...

    def ended(self, statement: str) -> None: ...


def _recorded(step: Step, surroundings: Surroundings) -> str:
    revision = alembic_bridge.describe(step.line, step.revision)
    title = f"-- {step.line.name} {step.revision}{' (back)' if step.direction == 'down' else ''}"
    try:
        said = (
            _in_transaction(step, surroundings)
            if revision.transactional
            else _one_by_one(step, surroundings)
        )
    except Exception as error:
        raise explained(step.line, step.revision, error) from None
    return "\n".join([title, *map(_ended, said)])


def _in_transaction(step: Step, surroundings: Surroundings) -> list[str]:
    with surroundings.session.transaction(_Silent()) as transaction:
        raw = transaction.raw
        with _recording(raw) as said:
            if step.before is None:
                roles = (surroundings.app, surroundings.reader, surroundings.guarded)
                schemas.create(raw, step.line, *roles)
            context = surroundings.context(step.line.schema, transaction.execute, raw)
            alembic_bridge.run(transaction, step.line, step.revision, step.direction, context)
            schemas.record(raw, step.line, before=step.before, after=step.after)
            if step.after is None:
                schemas.drop(raw, step.line)
    return ["BEGIN", *said, "COMMIT"]


def _one_by_one(step: Step, surroundings: Surroundings) -> list[str]:
    with (
        connect(surroundings.url, autocommit=True, purpose="sql") as connection,
        _recording(connection) as said,
    ):

        def send(text: str) -> None:
            connection.execute(text.encode())

        context = surroundings.context(step.line.schema, send, connection)
        with run_by(_NoScript(step)):
            alembic_bridge.dictate(step.line, step.revision, step.direction, context, send)
        schemas.record(connection, step.line, before=step.before, after=step.after)
    return list(said)


@dataclass(frozen=True, slots=True)
class _NoScript:
    """Refuses the backfills of one step: as one statement each would lock every row it changes.

    What it works from, batches and the old values of rows, is not there when a script is written.
    """

    step: Step

    def fill(self, backfill: Backfill) -> Filled:
        """Raise BackfillFailed."""
        name, before = self.step.revision, self.step.before
        raise self._refusal(
            backfill,
            f"Print the line up to the revision before it (--to {before}) and run"
            " `bedplate migrate apply` from there; what comes after it, --from"
            f" {name} prints.",
        )

    def restore(self, backfill: Backfill) -> Restored:
        """Raise BackfillFailed."""
        line, name, after = self.step.line.name, self.step.revision, self.step.after
        raise self._refusal(
            backfill,
            f"Print the way back to it (--down --to {name}) and run"
            f" `bedplate migrate undo {line} --to {after}` from there; what comes after it, --down"
            f" --from {after} prints.",
        )

    def _refusal(self, backfill: Backfill, next_step: str) -> BackfillFailed:
        return BackfillFailed(
            f"Module {self.step.line.name}, revision {self.step.revision} runs the backfill"
            f" {backfill.name}: batch by batch, with the old values kept for its way back, which"
            " no script does.",
            next_step,
        )


def _view(
    connection: Connection, target: Target, surroundings: Surroundings, without: str | None = None
) -> str:
    """The view over all audit logs follows every apply and undo; only what changes it is kept."""
    with _recording(connection) as said:
        if without is None:
            audit_view.rebuild(connection, target.registry, surroundings)
        else:
            audit_view.leave_out(connection, target.registry, without, surroundings)
    reads = ("SELECT", "BEGIN", "COMMIT")
    kept = [each for each in said if not each.lstrip().upper().startswith(reads)]
    if not kept:
        return ""
    return "\n".join(["-- The view over all audit logs", *map(_ended, kept)])


def _ended(statement: str) -> str:
    """Return a statement with its end, which must not fall into a comment."""
    last = statement.rpartition("\n")[2]
    return f"{statement}{chr(10) if '--' in last else ''};\n"


def _begin(target: Target, ways: Sequence[tuple[Line, Sequence[Step]]], part: Part) -> Revisions:
    """Where each line stands before the first recorded step; what comes later has not begun."""
    begin: dict[str, str | None] = {}
    recorded = {line.name: steps for line, steps in ways}
    for line in target.registry.lines:
        if line.name in recorded:
            steps = recorded[line.name]
            begin[line.name] = steps[0].before if steps else part.since
        elif recorded.keys() & begin.keys():
            begin[line.name] = None
        else:
            begin[line.name] = line.head
    return begin


def _lines(target: Target, part: Part) -> Sequence[Line]:
    lines = target.registry.lines
    if part.module is None:
        if part.since or part.to:
            raise UsageError("A revision is one line's.", "Name the module too.")
        return tuple(reversed(lines)) if part.down else lines
    found = [line for line in lines if line.name == part.module]
    if not found:
        raise ModuleNotFound(f"Module {part.module} is not enabled.", "See `bedplate module list`.")
    return found


def _steps(line: Line, part: Part) -> Iterator[Step]:
    revisions = line.revisions
    for name in (part.since, part.to):
        if name is not None and name not in revisions:
            raise UsageError(
                f"Module {line.name} has no revision {name}.",
                f"Choose one of: {', '.join(revisions) or 'there is none'}.",
            )
    first, last = (part.to, part.since or line.head) if part.down else (part.since, part.to)
    begin = revisions.index(first) + 1 if first else 0
    end = revisions.index(last) + 1 if last else len(revisions)
    found: list[Step] = []
    before = first
    for name in revisions[begin:end]:
        found.append(Step(line, name, "up", before, name))
        before = name
    if not part.down:
        yield from found
        return
    for step in reversed(found):
        yield Step(line, step.revision, "down", step.revision, step.before)
