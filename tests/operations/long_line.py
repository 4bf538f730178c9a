"""A line with every kind of revision, run in processes of its own that can be killed."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg._connection_base import BaseConnection

from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule, shop

PRICES = """
def upgrade():
    op.add_column("items", sa.Column("cents", sa.BigInteger), schema="shop")
    op.create_check_constraint(
        "ck_items_cents", "items", "cents >= 0", schema="shop", postgresql_not_valid=True
    )
    op.execute("CREATE TABLE shop.notes (id int PRIMARY KEY)")
    lines.grant("notes")

def downgrade():
    op.execute("DROP TABLE shop.notes")
    op.drop_constraint("ck_items_cents", "items", schema="shop")
    op.drop_column("items", "cents", schema="shop")
"""
INDEXES = """
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(shape=["shop.items"])

def upgrade():
    op.create_index(
        "ix_items_cents", "items", ["cents"], schema="shop", postgresql_concurrently=True
    )
    op.execute("ALTER TABLE shop.items VALIDATE CONSTRAINT ck_items_cents")
    op.create_index(
        "ux_items", "items", ["price", "id"], unique=True, schema="shop",
        postgresql_concurrently=True,
    )
    op.execute("DROP INDEX CONCURRENTLY shop.ix_items_shelf_id")

def downgrade():
    op.create_index(
        "ix_items_shelf_id", "items", ["shelf_id"], schema="shop", postgresql_concurrently=True
    )
    op.drop_index("ux_items", schema="shop", postgresql_concurrently=True)
    op.drop_index("ix_items_cents", schema="shop", postgresql_concurrently=True)
"""
CENTS = """
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(rows=["shop.items"])
CENTS = Backfill(
    table="shop.items", set={"cents": "price * 100"}, where="cents IS NULL", batch=BATCH
)

def upgrade():
    CENTS.run()

def downgrade():
    CENTS.undo()
"""
# What a killed process could have left half done begins with one of these words.
ACTING = ("CREATE", "ALTER", "DROP", "WITH", "INSERT", "UPDATE", "DELETE", "GRANT", "LOCK")
CHILD_LIMIT_S = 500
# How psycopg sends BEGIN and COMMIT, for itself and inside of `with connection.transaction()`.
COMMAND = "_exec_command"
ROWS = """
INSERT INTO shop.items (id, price)
SELECT md5(n::text)::uuid, n * 1.11 FROM generate_series(1, {}) n
"""


class LongLine:
    """The shop with rows, and three more revisions: DDL, indexes, a backfill (or what is given)."""

    def __init__(
        self,
        database: TestDatabase,
        folder: Path,
        *,
        rows: int,
        batch: int = 1_000,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.database = database
        self.folder = folder
        self.rows = rows
        self.module: FakeModule = shop(folder)
        self.registry = Registry([self.module.manifest()])
        self.apply()
        self.owner = psycopg.connect(database.owner_url, autocommit=True)
        self.owner.execute(ROWS.format(rows).encode())
        usual = {"0003_prices": PRICES, "0004_indexes": INDEXES, "0005_cents": CENTS}
        for name, body in (usual if more is None else more).items():
            self.module.add(name, body.replace("BATCH", str(batch)))

    def apply(self, begins: Callable[[str], None] | None = None) -> list[str]:
        """Apply, telling each revision that begins; return those that were run."""
        ran: list[str] = []

        def tell(step: migrate.Step) -> None:
            ran.append(step.revision)
            if begins is not None:
                begins(step.revision)

        migrate.apply_unproven(
            self.registry,
            owner_url=self.database.owner_url,
            app_url=self.database.app_url,
            on_step=tell,
        )
        return ran

    def apply_proven(self, on_receipt: migrate.OnReceipt | None = None) -> list[str]:
        """Rehearse and apply, as users do; return the revisions that were run."""
        ran: list[str] = []
        target = migrate.Target(
            registry=self.registry,
            owner_url=self.database.owner_url,
            folder=self.folder,
            app_url=self.database.app_url,
            admin_url=self.database.admin_url,
        )
        migrate.apply(
            target,
            policy=migrate.Policy(without_backup=True),
            on_step=lambda step: ran.append(step.revision),
            on_receipt=on_receipt,
        )
        return ran

    def undo(
        self, to: str = "0002_items", begins: Callable[[str], None] | None = None
    ) -> list[str]:
        """Go back to before the three revisions, or to another, telling each that begins."""
        url = self.database.owner_url
        tell = None if begins is None else lambda step: begins(step.revision)
        migrate.undo(self.registry, "shop", to=to, owner_url=url, on_step=tell)
        return []

    def found(self, query: str) -> list[tuple[Any, ...]]:
        return self.owner.execute(query.encode()).fetchall()

    @property
    def state(self) -> tuple[object, ...]:
        """Where the line is, its rows, every index and constraint and whether they are valid."""
        return (
            self.found("SELECT version_num FROM shop.schema_version"),
            self.found("SELECT md5(string_agg(i::text, ',' ORDER BY id)) FROM shop.items i"),
            self.found(
                "SELECT indexrelid::regclass::text, indisvalid, pg_get_indexdef(indexrelid)"
                " FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
                " WHERE relnamespace = 'shop'::regnamespace ORDER BY 1"
            ),
            self.found(
                "SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'shop'::regnamespace AND contype <> 'n' ORDER BY 1"
            ),
        )

    def said(self, direction: str) -> dict[str, dict[str, Any]]:
        """What the newest receipts say of the three revisions, but for how long it took."""
        found = self.found(
            "SELECT DISTINCT ON (revision) revision, document FROM bedplate.receipts"
            f" WHERE direction = '{direction}' AND module = 'shop' AND revision > '0003'"
            " ORDER BY revision, number DESC"
        )
        times = ("at", "duration_ms", "receipt_ms", "tables_watched")
        said = {name: {k: v for k, v in each.items() if k not in times} for name, each in found}
        for each in said.values():
            # Other databases of the server have roles and settings in common with this one.
            each["touched"] = [one for one in each["touched"] if one["verdict"] != "external"]
            for lock in each["locks"]:
                del lock["held_ms"]
        return said

    @property
    def invalid(self) -> int:
        ((count,),) = self.found("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        return int(count)


def started(body: Callable[[], object]) -> int:
    """Run in a process of its own, forked: it costs no start-up. Return its pid."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            signal.alarm(CHILD_LIMIT_S)
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """Wait for a process and return its exit code; negative for the signal it died of."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def counting(at: Callable[[int], None]) -> None:
    """Call `at` with 1, 2 … before each acting statement and COMMIT that this process sends."""
    execute, command = psycopg.Cursor.execute, getattr(BaseConnection, COMMAND)
    sent = 0

    def watched(self: Any, query: Any, *given: Any, **options: Any) -> Any:
        nonlocal sent
        text = query.decode() if isinstance(query, bytes) else str(query)
        if text.lstrip().upper().startswith(ACTING):
            sent += 1
            at(sent)
        return execute(self, query, *given, **options)

    def commanded(self: Any, text: Any, *given: Any, **options: Any) -> Any:
        nonlocal sent
        if b"COMMIT" in bytes(text) or b"RELEASE" in bytes(text):
            sent += 1
            at(sent)
        return command(self, text, *given, **options)

    psycopg.Cursor.execute = watched  # type: ignore[method-assign]
    setattr(BaseConnection, COMMAND, commanded)


def killed_before(number: int, body: Callable[[], object]) -> int:
    """Run `body` in a child that kills itself with SIGKILL before its statement of that number."""

    def die(sent: int) -> None:
        if sent == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        counting(die)
        body()

    return ended(started(run))
