"""What a draft brings to a table in use: no scan and no build under a lock that stops anybody."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.catalog import connect, difference
from bedplate.kernel.columns import Identified
from bedplate.kernel.model import Model
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Linter, Receipt, Target
from bedplate.operations.migrate.draft import Draft, Wish
from bedplate.operations.migrate.made import read_lines
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule

BEFORE = """
def upgrade():
    op.execute(
        "CREATE TABLE stock.racks (id uuid CONSTRAINT pk_racks PRIMARY KEY, label text NOT NULL)"
    )
    op.execute(
        "CREATE TABLE stock.crates (id uuid CONSTRAINT pk_crates PRIMARY KEY, rack_id uuid,"
        " rack_label text, weight int, CONSTRAINT ck_crates_weight CHECK (weight > 0))"
    )

def downgrade():
    op.execute("DROP TABLE stock.crates, stock.racks")
"""
ROWS = """
INSERT INTO stock.racks VALUES (gen_random_uuid(), 'left');
INSERT INTO stock.crates SELECT gen_random_uuid(), id, label, 7 FROM stock.racks;
"""
SLOW = ("VALIDATE", "CREATE UNIQUE INDEX", "CREATE INDEX")


class Rack(Identified, Model):
    """What the models say of stock.racks."""

    __tablename__ = "racks"
    __table_args__ = ({"schema": "stock", "comment": "Where crates stand."},)

    label: Mapped[str] = mapped_column(sa.Text, unique=True, comment="What is written on it.")


class Crate(Identified, Model):
    """What the models say of stock.crates."""

    __tablename__ = "crates"
    __table_args__ = (
        sa.CheckConstraint("weight > 1", name="ck_crates_weight"),
        sa.CheckConstraint("weight < 1000", name="ck_crates_light"),
        {"schema": "stock", "comment": "What things lie in."},
    )

    rack_id: Mapped[UUID] = mapped_column(sa.ForeignKey("stock.racks.id"), comment="Its rack.")
    rack_label: Mapped[str | None] = mapped_column(
        sa.Text, sa.ForeignKey("stock.racks.label"), comment="By its label."
    )
    weight: Mapped[int | None] = mapped_column(index=True, comment="In kilogrammes.")


def _drafts(target: Target, database: TestDatabase) -> list[tuple[Draft, Receipt]]:
    """Draft and apply until the models and the line agree."""
    found: list[tuple[Draft, Receipt]] = []
    while draft := migrate.make(target, "stock", Wish(message=f"step {len(found)}")):
        draft.write()
        receipts: list[Receipt] = []
        migrate.apply_unproven(
            target.registry,
            owner_url=database.owner_url,
            app_url=database.app_url,
            on_receipt=receipts.append,
        )
        found += [(draft, receipt) for receipt in receipts]
    return found


def test_drafts_lead_a_table_in_use_to_its_models_without_a_lock_that_lasts(
    kernel_database: TestDatabase, tmp_path: Path
) -> None:
    database = kernel_database
    module = FakeModule(tmp_path, "stock")
    module.add("0001_stock", BEFORE)
    target = Target(
        registry=Registry([module.manifest(models=(Rack, Crate))]),
        owner_url=database.owner_url,
        folder=tmp_path,
        app_url=database.app_url,
        admin_url=database.admin_url,
    )
    migrate.apply_unproven(target.registry, owner_url=database.owner_url, app_url=database.app_url)
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(ROWS)
    before = read_lines(target, database.owner_url)
    drafts = _drafts(target, database)

    # The foreign key at the key that had to come first is what makes it four and not two.
    assert [draft.transactional for draft, _ in drafts] == [True, False, True, False]
    assert any("points at a key that has to come first" in each for each in drafts[0][0].notes)
    assert any("ck_crates_light comes NOT VALID" in each for each in drafts[0][0].notes)
    said = [statement for draft, _ in drafts for statement in draft.up]
    assert sum("VALIDATE CONSTRAINT" in each for each in said) == 5
    assert sum("CREATE UNIQUE INDEX CONCURRENTLY uq_racks_label" in each for each in said) == 1
    assert sum("CREATE INDEX CONCURRENTLY ix_crates_weight" in each for each in said) == 1

    # No scan and no build held more than what goes beside reads and writes.
    slow = [
        lock.mode
        for _, receipt in drafts
        for lock in receipt.locks
        if lock.statement.upper().lstrip().startswith(SLOW) or "VALIDATE" in lock.statement
    ]
    assert set(slow) == {"ShareUpdateExclusiveLock", "RowShareLock"}
    line = target.registry.lines[-1]
    found = Linter(registry=target.registry, bindings={}).alone(line)
    assert [each for each in found if each.severity == "error"] == []

    # There, back and there again: nothing is left behind.
    with connect(database.owner_url, autocommit=True) as connection:
        rows = connection.execute("SELECT * FROM stock.crates").fetchall()
    after = read_lines(target, database.owner_url)
    migrate.undo(target.registry, "stock", to="0001_stock", owner_url=database.owner_url)
    assert difference(before, read_lines(target, database.owner_url)) == ()
    proof = migrate.prove(target)
    assert proof.reasons == ()
    migrate.apply_unproven(target.registry, owner_url=database.owner_url, app_url=database.app_url)
    assert difference(after, read_lines(target, database.owner_url)) == ()
    with connect(database.owner_url, autocommit=True) as connection:
        assert connection.execute("SELECT * FROM stock.crates").fetchall() == rows
