"""Backfills: rows changed in batches by a revision, beside the traffic, with a way back.

transactional = False
touches = Footprint(rows=["shop.items"])

CENTS = Backfill(
    table="shop.items",
    set={"price_cents": "price * 100"},
    where="price_cents IS NULL",
)

def upgrade():
    CENTS.run()

def downgrade():
    CENTS.undo()
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from bedplate.kernel.bindings import QUALIFIED_NAME
from bedplate.kernel.errors import UsageError

BATCH_MAX = 50_000
PAUSE_MS_MAX = 60_000


@dataclass(frozen=True, slots=True)
class Filled:
    """What a backfill changed: rows of its table, over all runs that it took."""

    rows: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What the way back restored, and what it left alone because it is not as it was left.

    `kept` are the keys of rows that were changed since, at most KEPT_NAMED_MAX of the
    `rows_kept`; their old values stay in bedplate.before_images. `rows_gone` were deleted since.
    """

    rows: int
    rows_kept: int = 0
    rows_gone: int = 0
    kept: tuple[tuple[str, ...], ...] = ()


KEPT_NAMED_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Rows of one table to change, a batch at a time in the order of the key.

    `set` maps columns to SQL expressions over the row, `where` says which rows need it: it is asked
    again once a row is locked, so what the app changes meanwhile is not overwritten. `key` is the
    primary key unless named: columns that a unique index covers and that are never null. Each
    batch, `batch` rows at most, is a transaction of its own, with a pause of `pause_ms` after it.

    The columns' old values are kept in bedplate.before_images until the way back, which takes
    about the rows' own size again on disk. Raises UsageError.
    """

    table: str
    set: Mapping[str, str]
    where: str | None = None
    key: Sequence[str] = ()
    batch: int = 1_000
    pause_ms: int = 0

    def __post_init__(self) -> None:
        if not QUALIFIED_NAME.fullmatch(self.table):
            raise UsageError(
                f'A backfill\'s table = "{self.table}" is not schema.table.',
                'Write both parts without quotes, such as table = "shop.items".',
            )
        if not self.set or set(self.set) & set(self.key):
            raise UsageError(
                f"The backfill of {self.table} must set at least one column, and none of its key.",
                'Write set={"column": "expression"}.',
            )
        if not 1 <= self.batch <= BATCH_MAX or not 0 <= self.pause_ms <= PAUSE_MS_MAX:
            raise UsageError(
                f"The backfill of {self.table} has batch={self.batch}, pause_ms={self.pause_ms}.",
                f"A batch has 1 to {BATCH_MAX} rows, a pause 0 to {PAUSE_MS_MAX} ms.",
            )

    @property
    def name(self) -> str:
        """How it is called among the backfills of its revision: shop.items (price_cents)."""
        return f"{self.table} ({', '.join(sorted(self.set))})"

    def run(self) -> Filled:
        """Change the rows, or go on where a run that was cut off stopped.

        Raises UsageError outside of a revision with transactional = False, and BackfillFailed.
        """
        return _current().fill(self)

    def undo(self) -> Restored:
        """Give the rows that are still as run() left them their old values back.

        Raises UsageError outside of a revision with transactional = False, and BackfillFailed.
        """
        return _current().restore(self)


class Runner(Protocol):
    """What the runner of `operations/migrate` does for a backfill."""

    def fill(self, backfill: Backfill) -> Filled:
        """Change the rows."""
        ...

    def restore(self, backfill: Backfill) -> Restored:
        """Give them their old values back."""
        ...


_runner: ContextVar[Runner] = ContextVar("bedplate_backfills")


@contextmanager
def run_by(runner: Runner) -> Generator[None]:
    """Let `runner` run the backfills of the revision inside this block."""
    token = _runner.set(runner)
    try:
        yield
    finally:
        _runner.reset(token)


def _current() -> Runner:
    runner = _runner.get(None)
    if runner is None:
        raise UsageError(
            "A backfill commits batch by batch, and this revision is one transaction.",
            "Write transactional = False at the top of its file.",
        )
    return runner
