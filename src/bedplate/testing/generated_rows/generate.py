"""Fill tables: parents before children, each row tried until the server takes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bedplate.catalog import Connection
from bedplate.kernel.errors import UsageError
from bedplate.kernel.lines import KERNEL_LINE, VERSION_TABLE
from bedplate.testing.generated_rows.filling import Filling
from bedplate.testing.generated_rows.tables import Table, in_order, read_tables

ROWS_PER_TABLE = 5
"""How many rows a table gets unless the caller says otherwise."""

ROWS_MAX = 10_000
"""The most rows per table: each is tried on its own, at about a millisecond."""

RUNNER_TABLES = tuple(
    f"{KERNEL_LINE.schema}.{name}"
    for name in ("receipts", "journal", "backfills", "before_images", "steps")
)
"""What `bedplate migrate` keeps for itself: an entry that it did not write would look forged."""

Shapes = Mapping[str, Callable[[int], str | None]]
"""`schema.table.column` to its value as PostgreSQL reads it from text, by the running number."""


@dataclass(frozen=True, slots=True)
class GeneratedRows:
    """What was inserted: `rows` by `schema.table`, in the order in which it happened.

    `without_triggers` names tables whose triggers refused every row and were passed over;
    `full` those that take no more rows, because a unique rule leaves no room; `skipped` those
    without a partition to take one.
    """

    rows: dict[str, int]
    without_triggers: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many rows were inserted, those that triggers added not counted."""
        return sum(self.rows.values())


def generate_rows(
    connection: Connection,
    schemas: Sequence[str],
    *,
    count: int = ROWS_PER_TABLE,
    seed: int = 0,
    skip: Collection[str] = (),
    shapes: Shapes | None = None,
) -> GeneratedRows:
    """Insert `count` rows into every table of the schemas, all or none; return what was done.

    The connection is the owner's or a superuser's. Types, NOT NULL, domains, keys, unique rules,
    CHECKs, exclusion constraints and partitions are read from the catalog; rows that are there
    already stay and serve as parents. Triggers fire; where one refuses every row, also one that
    says no more than it must, the table's triggers are off for it. The same database and
    seed get the same rows. `skip` names tables to leave alone (`schema.table`), besides those that
    `bedplate migrate` keeps for itself. `shapes` gives what cannot be guessed:
    `{"shop.items.iban": lambda number: f"DE{number:020}"}`.

    Raises UsageError, which names the table and the rule, where no likely value is let in.
    """
    _check(schemas, count)
    with connection.transaction():
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        found = read_tables(connection, schemas)
        tables, deferred = in_order([each for each in found if not _is_skipped(each, skip)])
        _check_shapes(tables, shapes or {})
        for name in deferred:
            connection.execute(f"SET CONSTRAINTS {name} DEFERRED".encode())
        filling = Filling(connection, tables, deferred, seed, shapes or {})
        rows: defaultdict[str, int] = defaultdict(int)
        full: list[str] = []
        skipped: list[str] = []
        for table in tables:
            if table.partitioned and not table.partitions:
                skipped.append(table.full_name)
                continue
            rows[table.full_name] = inserted = filling.fill(table, count)
            if inserted < count:
                full.append(table.full_name)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return GeneratedRows(
        dict(rows), tuple(sorted(filling.without_triggers)), tuple(full), tuple(skipped)
    )


def _check(schemas: Sequence[str], count: int) -> None:
    if isinstance(schemas, str) or not schemas:
        raise UsageError(
            "Rows are generated for a list of schemas.", 'Write: generate_rows(…, ["shop"]).'
        )
    if not 1 <= count <= ROWS_MAX:
        raise UsageError(
            f"count is {count}.", f"Ask for between 1 and {ROWS_MAX} rows for each table."
        )


def _check_shapes(tables: Sequence[Table], shapes: Shapes) -> None:
    known = {f"{table.full_name}.{name}" for table in tables for name in table.columns}
    unknown = sorted(set(shapes) - known)
    if unknown:
        raise UsageError(
            f"shapes names {', '.join(unknown)}, which is no column of the tables to fill.",
            "Spell it schema.table.column, as PostgreSQL stores the names.",
        )


def _is_skipped(table: Table, skip: Collection[str]) -> bool:
    return table.name == VERSION_TABLE or table.full_name in (*RUNNER_TABLES, *skip)
