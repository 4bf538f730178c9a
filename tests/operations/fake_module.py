"""Modules for tests: a package of revisions in a temporary folder, and its manifest."""

from __future__ import annotations

import sys
from pathlib import Path

from bedplate.kernel.model import Model
from bedplate.kernel.module import ModuleManifest

HEAD = """
import sqlalchemy as sa
from alembic import op
from bedplate.kernel import lines

revision = {name!r}
down_revision = {before!r}
"""

SHELVES = """
def upgrade():
    op.execute("CREATE TYPE shop.size AS ENUM ('SMALL', 'LARGE')")
    op.create_table(
        "shelves",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Key."),
        sa.Column("label", sa.Text, nullable=False, unique=True, comment='What | "stands" on it.'),
        schema="shop",
        comment="Where things stand.",
    )
    lines.grant("shelves")

def downgrade():
    op.drop_table("shelves", schema="shop")
    op.execute("DROP TYPE shop.size")
"""

ITEMS = """
def upgrade():
    op.create_table(
        "items",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Key."),
        sa.Column("shelf_id", sa.Uuid, sa.ForeignKey("shop.shelves.id"), comment="Its shelf."),
        sa.Column("price", sa.Numeric(12, 2), nullable=False, comment="In euros."),
        sa.CheckConstraint("price >= 0", name="ck_items_price"),
        schema="shop",
        comment="What is sold.",
    )
    op.create_index("ix_items_shelf_id", "items", ["shelf_id"], schema="shop")
    lines.grant("items", privileges=("SELECT", "INSERT"))

def downgrade():
    op.drop_table("items", schema="shop")
"""


class FakeModule:
    """A module called `shop` whose revisions a test writes."""

    def __init__(self, folder: Path, name: str = "shop") -> None:
        self.name = name
        self.package = f"fake_{name}_{abs(hash(folder))}"
        self.line = folder / self.package / "migrations"
        self.line.mkdir(parents=True)
        (self.line.parent / "__init__.py").write_text("", encoding="utf-8")
        sys.path.append(str(folder))
        self.before: str | None = None

    def add(self, name: str, body: str) -> None:
        head = HEAD.format(name=name, before=self.before)
        (self.line / f"{name}.py").write_text(head + body, encoding="utf-8")
        self.before = name

    def manifest(self, models: tuple[type[Model], ...] = ()) -> ModuleManifest:
        return ModuleManifest(name=self.name, package=self.package, models=models)


def shop(folder: Path) -> FakeModule:
    """The usual one, with two revisions."""
    module = FakeModule(folder)
    module.add("0001_shelves", SHELVES)
    module.add("0002_items", ITEMS)
    return module
