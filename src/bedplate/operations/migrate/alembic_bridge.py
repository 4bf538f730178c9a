"""Alembic as a library: it reads a line's files and runs one revision; it keeps no versions.

The only file that imports Alembic, besides the revisions themselves.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal, Protocol

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import MigrationFailed
from bedplate.kernel.footprint import NOTHING, Footprint
from bedplate.kernel.lines import Line, LineContext, running
from bedplate.kernel.model import NAMING_CONVENTION
from bedplate.operations.migrate.revision import Revision

LINES_REMEMBERED = 64
"""Each step asks for its line's files several times, and Alembic runs all of them to know one."""

# `alembic.op` is one proxy for the whole process: two threads inside revisions would swap theirs.
_process_lock = threading.Lock()

# What a revision leaves unnamed is named as the models name it. A check always has a name, which
# the convention would only lengthen.
_NAMES = sa.MetaData(
    naming_convention={kind: name for kind, name in NAMING_CONVENTION.items() if kind != "ck"}
)


class MigrationTransaction:
    """One transaction, as SQLAlchemy's connection and as the psycopg connection under it."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.raw: Connection = connection.connection.driver_connection  # type: ignore[assignment]

    def execute(self, statement: str) -> None:
        """Run one statement as it is written: a % or a : in it means itself."""
        # With an empty list of parameters the driver would still look for their places.
        self.connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


class Listener(Protocol):
    """Who is told of a transaction: of the connection before it begins, and of each statement."""

    def before_begin(self, connection: Connection) -> None:
        """Do what must be done outside of the transaction; the connection is in autocommit."""

    def begins(self, statement: str) -> None:
        """Hear of a statement before it runs."""

    def ended(self, statement: str) -> None:
        """Hear of a statement that has run."""


class MigrationSession:
    """One connection for the steps of a run, made when it is first needed; `close` it.

    It is cleared before each step, and its catalog caches stay warm: a new connection reads them
    again, some 20 ms for each step. After an error there is a new one all the same.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._raw: Connection | None = None
        self._listener: Listener | None = None
        self._numbers = itertools.count(1)
        self._engine = sa.create_engine(
            "postgresql+psycopg://", creator=self._connected, poolclass=StaticPool
        )
        listen: Any = event.listen
        listen(self._engine, "before_cursor_execute", self._begins)
        listen(self._engine, "after_cursor_execute", self._ended)

    @contextmanager
    def transaction(self, listener: Listener) -> Generator[MigrationTransaction]:
        """Commit when the block ends well, else roll back."""
        try:
            raw = self._connected()
            # The number makes it a new statement: of one that psycopg knows, it does not notice
            # that what was prepared is gone.
            raw.execute(f"DISCARD ALL /* {next(self._numbers)} */".encode())
            listener.before_begin(raw)
            raw.autocommit = False
            with self._engine.begin() as connection:
                self._listener = listener
                yield MigrationTransaction(connection)
            raw.autocommit = True
        except BaseException:
            self.close()
            raise
        finally:
            self._listener = None

    def close(self) -> None:
        """Close the connection; the next transaction makes another."""
        raw, self._raw = self._raw, None
        self._engine.dispose()
        if raw is not None:
            raw.close()

    def _connected(self) -> Connection:
        if self._raw is None:
            self._raw = connect(self.url, autocommit=True, purpose="migrate")
        return self._raw

    # Each is given the connection, the cursor, the statement and what else SQLAlchemy knows of it.
    def _begins(self, *given: Any) -> None:
        if self._listener is not None:
            self._listener.begins(given[2])

    def _ended(self, *given: Any) -> None:
        if self._listener is not None:
            self._listener.ended(given[2])


def run(
    transaction: MigrationTransaction,
    line: Line,
    revision: str,
    direction: Literal["up", "down"],
    context: LineContext,
) -> None:
    """Run one revision's upgrade() or downgrade() in the transaction, and nothing else.

    Raises MigrationFailed where the line's files do not form one, and whatever the revision raises.
    """
    alembic_context = MigrationContext.configure(
        transaction.connection, opts={"target_metadata": _NAMES}
    )
    _call(line, revision, direction, context, alembic_context)


def dictate(
    line: Line,
    revision: str,
    direction: Literal["up", "down"],
    context: LineContext,
    write: Callable[[str], None],
) -> None:
    """Call upgrade() or downgrade() without a connection: each statement's text goes to `write`.

    What the context executes goes where it sends it. Raises MigrationFailed where the line's files
    do not form one, and whatever the revision or `write` raises.
    """
    opts = {"as_sql": True, "output_buffer": _Statements(write), "target_metadata": _NAMES}
    # With named parameters a % is a %; the default would double it.
    alembic_context = MigrationContext.configure(
        dialect_name="postgresql+psycopg", dialect_opts={"paramstyle": "named"}, opts=opts
    )
    _call(line, revision, direction, context, alembic_context)


class _Statements(io.TextIOBase):
    """Where Alembic writes statements: one at a time, with a terminator."""

    def __init__(self, statement: Callable[[str], None]) -> None:
        self._statement = statement

    def write(self, text: str) -> int:
        self._statement(text.strip().removesuffix(";"))
        return len(text)


def _call(
    line: Line,
    revision: str,
    direction: Literal["up", "down"],
    context: LineContext,
    alembic_context: MigrationContext,
) -> None:
    module = _scripts(line)[revision].module
    with _process_lock, Operations.context(alembic_context), running(context):
        if direction == "up":
            module.upgrade()
        else:
            module.downgrade()


def describe(line: Line, name: str) -> Revision:
    """Read what a revision's file says of itself; raises MigrationFailed where it says it wrong."""
    module = _scripts(line)[name].module
    touches = getattr(module, "touches", NOTHING)
    if not isinstance(touches, Footprint):
        raise MigrationFailed(
            f"Module {line.name}, revision {name}: touches must be a Footprint.",
            'Write: touches = Footprint(rows=["schema.table"]).',
        )
    return Revision(
        line=line.name,
        name=name,
        summary=(module.__doc__ or "").strip().split("\n")[0],
        sha256=hashlib.sha256((line.folder / f"{name}.py").read_bytes()).hexdigest(),
        touches=touches,
        transactional=bool(getattr(module, "transactional", True)),
        irreversible=getattr(module, "irreversible", None),
        has_downgrade=hasattr(module, "downgrade"),
    )


def verify(line: Line) -> None:
    """Refuse a line whose files do not form one: each names itself and the one before it."""
    _scripts(line)


def _scripts(line: Line) -> dict[str, Script]:
    """Return the line's revisions; the files are read again once one of them has changed."""
    files = sorted(line.folder.glob("*.py"))
    stamps = tuple((each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in files)
    return _read(line, stamps)


@lru_cache(maxsize=LINES_REMEMBERED)
def _read(line: Line, stamps: tuple[tuple[str, int, int], ...]) -> dict[str, Script]:
    folder = str(line.folder)
    try:
        found = list(ScriptDirectory(folder, version_locations=[folder]).walk_revisions())
    except Exception as error:
        raise MigrationFailed(
            f"The revisions of module {line.name} cannot be read: {type(error).__name__}: {error}.",
            f"Correct the files in {folder}.",
        ) from error
    _refuse_two_heads(line, found)
    scripts = {script.revision: script for script in reversed(found)}
    before: str | None = None
    for name in line.revisions:
        script = scripts.get(name)
        if script is None or script.down_revision != before:
            raise MigrationFailed(
                f"Module {line.name}: {name}.py must say revision = {name!r} and"
                f" down_revision = {before!r}.",
                "A line has no branches: number its files in the order in which they run.",
            )
        before = name
    if len(scripts) != len(line.revisions):
        strays = ", ".join(sorted(set(scripts) - set(line.revisions)))
        raise MigrationFailed(
            f"Module {line.name} has revisions outside its line: {strays}.",
            "Name each file after its revision, with its number first: 0001_users.py.",
        )
    return scripts


def _refuse_two_heads(line: Line, found: list[Script]) -> None:
    """Two people wrote the next revision at once: say which of the files is to move, and how."""
    followers: dict[Any, list[str]] = {}
    for script in found:
        followers.setdefault(script.down_revision, []).append(script.revision)
    for before, names in followers.items():
        if len(names) > 1:
            first, second = sorted(names)[:2]
            moved = f"{len(line.revisions):04d}_{second.partition('_')[2]}"
            raise MigrationFailed(
                f"Module {line.name} has two heads: {first} and {second} both follow"
                f" {before or 'nothing'}.",
                f"Rename {second}.py to {moved}.py, with revision = {moved!r} and the last"
                " revision of the other as its down_revision.",
            )
