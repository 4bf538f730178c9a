"""The recipes of docs/howto/migrate-without-downtime.md as revisions, over the shop's items."""

from __future__ import annotations

GROUND = """
def upgrade():
    op.execute("CREATE TYPE shop.state AS ENUM ('NEW', 'OLD')")
    op.execute("ALTER TABLE shop.items ADD state shop.state DEFAULT 'NEW', ADD legacy text")
    op.execute("CREATE TABLE shop.notes (id int PRIMARY KEY)")
    op.execute("CREATE TABLE shop.visits (at date NOT NULL) PARTITION BY RANGE (at)")
    op.execute("CREATE TABLE shop.visits_2024 PARTITION OF shop.visits"
               " FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')")
    op.execute("CREATE TABLE shop.visits_2025 (at date NOT NULL)")
    op.execute("INSERT INTO shop.visits SELECT '2024-01-01'")
    op.execute("INSERT INTO shop.visits_2025 SELECT '2025-01-01'")

def downgrade(): ...
"""
# A column; a column with a value for each row, which is a change of type too; a key and a check.
COLUMNS = """
def upgrade():
    op.execute("ALTER TABLE shop.items ADD stock int DEFAULT 0")
    op.execute("ALTER TABLE shop.items ADD cents bigint, ADD note text")
    op.execute("ALTER TABLE shop.items ALTER note SET DEFAULT 'new'")
    op.execute("ALTER TABLE shop.items ADD CONSTRAINT fk_items_shelf FOREIGN KEY (shelf_id)"
               " REFERENCES shop.shelves NOT VALID")
    op.execute("ALTER TABLE shop.items ADD CONSTRAINT ck_items_cents CHECK (cents >= 0) NOT VALID")
    op.execute("ALTER TABLE shop.visits_2025 ADD CONSTRAINT ck_visits_at"
               " CHECK (at >= '2025-01-01' AND at < '2026-01-01') NOT VALID")

def downgrade():
    op.execute("ALTER TABLE shop.visits_2025 DROP CONSTRAINT ck_visits_at")
    op.execute("ALTER TABLE shop.items DROP CONSTRAINT ck_items_cents,"
               " DROP CONSTRAINT fk_items_shelf")
    op.execute("ALTER TABLE shop.items DROP stock, DROP cents, DROP note")
"""
# An index; a unique one; a label of an enum; a partition that goes.
STEPS = """
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(shape=["shop.state", "shop.visits_2024", "shop.visits"])

def upgrade():
    op.execute("ALTER TABLE shop.items VALIDATE CONSTRAINT fk_items_shelf")
    op.execute("ALTER TABLE shop.items VALIDATE CONSTRAINT ck_items_cents")
    op.execute("ALTER TABLE shop.visits_2025 VALIDATE CONSTRAINT ck_visits_at")
    op.execute("CREATE INDEX CONCURRENTLY ix_items_cents ON shop.items (cents)")
    op.execute("CREATE UNIQUE INDEX CONCURRENTLY uq_items_price_id ON shop.items (price, id)")
    op.execute("ALTER TYPE shop.state ADD VALUE 'SOLD'")
    op.execute("ALTER TABLE shop.visits DETACH PARTITION shop.visits_2024 CONCURRENTLY")

def downgrade():
    op.execute("DROP INDEX CONCURRENTLY shop.uq_items_price_id")
    op.execute("DROP INDEX CONCURRENTLY shop.ix_items_cents")
"""
FILL = """
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(rows=["shop.items"])
VALUES = Backfill(
    table="shop.items",
    set={"cents": "price * 100", "note": "coalesce(note, 'old')", "state": "'SOLD'"},
    where="cents IS NULL",
)

def upgrade():
    VALUES.run()

def downgrade():
    VALUES.undo()
"""
NOTE_CHECK = """
def upgrade():
    op.execute("ALTER TABLE shop.items ADD CONSTRAINT ck_items_note CHECK (note IS NOT NULL)"
               " NOT VALID")

def downgrade():
    op.execute("ALTER TABLE shop.items DROP CONSTRAINT ck_items_note")
"""
NOTE_VALID = """
transactional = False

def upgrade():
    op.execute("ALTER TABLE shop.items VALIDATE CONSTRAINT ck_items_note")

def downgrade(): ...
"""
# NOT NULL; UNIQUE; a column that goes; a table that is renamed; a partition that comes.
LAST = """
from bedplate.kernel.footprint import Footprint

ITEMS, NOTES = ["shop.items"], ["shop.notes", "shop.remarks"]
VISITS = ["shop.visits", "shop.visits_2024", "shop.visits_2025"]
touches = Footprint(shape=[*ITEMS, *NOTES, *VISITS])

def upgrade():
    op.execute("ALTER TABLE shop.visits ATTACH PARTITION shop.visits_2025"
               " FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")
    op.execute("ALTER TABLE shop.notes RENAME TO remarks")
    op.execute("CREATE VIEW shop.notes AS SELECT * FROM shop.remarks")
    op.execute("ALTER TABLE shop.items ALTER note SET NOT NULL, DROP CONSTRAINT ck_items_note,"
               " ADD CONSTRAINT uq_items_price_id UNIQUE USING INDEX uq_items_price_id,"
               " DROP legacy")

def downgrade():
    op.execute("DROP VIEW shop.notes")
    op.execute("ALTER TABLE shop.remarks RENAME TO notes")
    op.execute("ALTER TABLE shop.visits DETACH PARTITION shop.visits_2025")
    op.execute("ALTER TABLE shop.items ALTER note DROP NOT NULL,"
               " ADD CONSTRAINT ck_items_note CHECK (note IS NOT NULL) NOT VALID,"
               " DROP CONSTRAINT uq_items_price_id, ADD legacy text")
"""
CHANGES = {
    "0004_columns": COLUMNS,
    "0005_steps": STEPS,
    "0006_fill": FILL,
    "0007_note_check": NOTE_CHECK,
    "0008_note_valid": NOTE_VALID,
    "0009_last": LAST,
}
