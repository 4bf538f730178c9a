"""Fences: what may be called or imported in one place only, and why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache

import pytest

from tests.house.exceptions import hold
from tests.house.source import (
    SourceFile,
    docstrings,
    dotted_name,
    files,
    package_files,
    tree_of,
)

HOME = "src/bedplate"


@dataclass(frozen=True)
class Fence:
    """`names` (dotted, a trailing star for a family) may appear only in `inside` (globs)."""

    law: str
    names: tuple[str, ...]
    inside: tuple[str, ...]
    why: str


FENCES = (
    Fence(
        "programs",
        (
            *("subprocess", "subprocess.*", "os.system", "os.popen", "os.fork", "os.kill"),
            *("os.killpg", "os.exec*", "os.spawn*", "os.posix_spawn*", "pty.*", "multiprocessing*"),
            *("asyncio.create_subprocess_*", "asyncio.subprocess*"),
        ),
        ("kernel/processes.py",),
        "one file knows how a program is started, timed out, given another user and ended",
    ),
    Fence(
        "environment",
        (
            *("os.environ", "os.environ.*", "os.environb*", "os.getenv*"),
            *("os.putenv", "os.unsetenv", "dotenv.load_dotenv"),
        ),
        ("kernel/settings.py",),
        "settings are read once, checked once and handed down; nothing else may differ by machine",
    ),
    Fence(
        "clock",
        (
            *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
            *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
            *("datetime.date.today", "time.time", "time.time_ns", "time.localtime", "time.gmtime"),
        ),
        ("kernel/clock.py", "kernel/ids.py"),
        "a year can pass in a test only if everything asks the same clock",
    ),
    Fence(
        "sql-clock-functions",
        (
            *("func.now", "func.current_timestamp", "func.localtimestamp", "func.current_date"),
            *("func.clock_timestamp", "func.statement_timestamp", "func.transaction_timestamp"),
        ),
        (),
        "SQL asks bedplate.now() or, after a lock wait, bedplate.clock()",
    ),
    Fence(
        "ids",
        ("uuid.uuid1", "uuid.uuid3", "uuid.uuid4", "uuid.uuid5", "uuid.uuid7", "uuid4", "uuid1"),
        ("kernel/ids.py",),
        "keys sort by time (UUIDv7) and tests can fix them only if they come from one place",
    ),
    Fence(
        "alembic",
        ("alembic", "alembic.*"),
        ("operations/migrate/alembic_bridge.py", "*/migrations/*.py"),
        "all else speaks of lines and steps, so Alembic is driven, or replaced, in one file",
    ),
    Fence(
        "typer",
        ("typer", "typer.*", "click", "click.*"),
        ("cli/*",),
        "what a command does must be callable without a terminal",
    ),
    Fence(
        "web",
        ("starlette", "starlette.*", "fastapi", "fastapi.*", "uvicorn", "uvicorn.*"),
        ("studio/*", "integrations/*"),
        "the data layer serves any framework; each is met in one file",
    ),
    Fence(
        "sessions",
        ("sqlalchemy.ext.asyncio*", "sqlalchemy.orm.Session", "sqlalchemy.orm.sessionmaker"),
        (
            *("kernel/sessions.py", "kernel/database.py", "kernel/transaction.py"),
            *("integrations/*", "testing/*"),
        ),
        "our own paths run without SQLAlchemy's session, which costs five sixths of the speed",
    ),
)


@pytest.mark.parametrize("fence", FENCES, ids=lambda fence: fence.law)
def test_a_fenced_name_is_used_in_its_place_only(fence: Fence) -> None:
    offenders = {
        f"{file.place}:{line}": f"uses {name}"
        for file in package_files()
        for name, line in refused_by(fence, file)
    }
    hold(fence.law, offenders, why=fence.why)


BARE_CLOCK = re.compile(
    r"""(?<![\w.]) (?: pg_catalog\s*\.\s* )?
        (?: (?: now | clock_timestamp | statement_timestamp | transaction_timestamp ) \s* \( \s* \)
          | (?: current_timestamp | localtimestamp | current_date | current_time | localtime ) \b )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# The two SQL functions that everybody else calls are defined here, and nowhere but in the template
# of the tests are they replaced.
# Ids made in SQL (0003) rise by the machine's clock, as those of kernel/ids.py do.
SQL_CLOCK_HOMES = (
    *("kernel/clock.py", "kernel/migrations/0001_*", "testing/clock.py"),
    "kernel/migrations/0003_audit.py",
)


def test_sql_asks_our_clock() -> None:
    offenders: dict[str, str] = {}
    for file in package_files():
        if not _is_inside(file, SQL_CLOCK_HOMES):
            for text, line in _strings(file):
                if BARE_CLOCK.search(text):
                    offenders[f"{file.place}:{line}"] = "a bare SQL clock in a string"
    for file in files(".sql", under=("src",)):
        for number, text in enumerate(file.text.splitlines(), start=1):
            if BARE_CLOCK.search(text.split("--")[0]) and not _is_inside(file, SQL_CLOCK_HOMES):
                offenders[f"{file.place}:{number}"] = "a bare SQL clock"
    hold("sql-clock", offenders, why="bedplate.now() and bedplate.clock() can be frozen in a test")


@pytest.mark.parametrize(
    ("sql", "is_bare"),
    [
        ("select now()", True),
        ("default CURRENT_TIMESTAMP", True),
        ("select pg_catalog.now ( )", True),
        ("where at < clock_timestamp() - x", True),
        ("select bedplate.now(), bedplate.clock()", False),
        ("the column current_timestamps", False),
    ],
)
def test_the_rule_tells_a_bare_clock_from_ours(sql: str, is_bare: bool) -> None:
    assert bool(BARE_CLOCK.search(sql)) is is_bare


def refused_by(fence: Fence, file: SourceFile) -> list[tuple[str, int]]:
    """The fenced names that a file outside the fence uses, each with its line."""
    if _is_inside(file, fence.inside):
        return []
    used = names_used(file)
    return [(name, line) for name, line in used if any(fnmatch(name, n) for n in fence.names)]


def _is_inside(file: SourceFile, globs: tuple[str, ...]) -> bool:
    return any(fnmatch(file.place, f"{HOME}/{glob}") for glob in globs)


@cache
def names_used(file: SourceFile) -> tuple[tuple[str, int], ...]:
    """Every dotted name, as written and as its import says; and every module imported."""
    return tuple(sorted(set(_names_in(tree_of(file)))))


def _names_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                origins[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}", node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            written = dotted_name(node)
            if written:
                head, _, rest = written.partition(".")
                yield written, node.lineno
                yield f"{origins.get(head, head)}.{rest}", node.lineno


def _strings(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Every string that is not a docstring; the constant parts of f-strings too."""
    tree = tree_of(file)
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value, node.lineno
