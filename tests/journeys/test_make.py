"""A developer adds a table: module new, edit models.py, migrate make, migrate apply."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.kernel import embedded
from bedplate.kernel.settings import load
from tests.cli.terminal import Terminal

TITLE = '    title: Mapped[str] = mapped_column(comment="What it is called.")\n'
AMOUNT = '    amount: Mapped[int | None] = mapped_column(comment="In cents.")\n'
TOTAL = AMOUNT.replace("amount", "total")
WEIGHT = '    weight: Mapped[int] = mapped_column(comment="In grams.")\n'
PAYMENT = '''

class Payment(Identified, Model):
    """What was paid."""

    __tablename__ = "payments"
    __table_args__ = {"schema": "invoices", "comment": "What was paid."}

    invoice_id: Mapped[UUID] = mapped_column(
        ForeignKey("invoices.invoices.id"), index=True, comment="For which invoice."
    )
'''


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in a project of one module, whose server runs meanwhile."""
    folder = tmp_path_factory.mktemp("make") / "Shop"
    folder.mkdir()
    (folder / "bedplate.toml").write_text("modules = []\n")
    attachment = embedded.attach(folder, major=load().test.postgres_major, durable=False)
    try:
        yield Terminal(folder)
    finally:
        attachment.detach()
        embedded.purge(folder)


def _edit(folder: Path, before: str, after: str) -> None:
    models = folder / "shop" / "invoices" / "models.py"
    text = models.read_text()
    assert before in text
    models.write_text(text.replace(before, after))


def test_from_a_new_module_to_a_column_in_the_database(terminal: Terminal) -> None:
    assert terminal.run("module", "new", "shop.invoices").code == 0
    _edit(terminal.folder, TITLE, TITLE + AMOUNT)
    made = terminal.run("migrate", "make", "invoices", "--json")
    assert made.document["revision"] == "0002_invoices_amount", made.stderr
    applied = terminal.run("migrate", "apply", "--json")
    assert [each["revision"] for each in applied.document if each["module"] == "invoices"] == [
        "0001_invoices",
        "0002_invoices_amount",
    ], applied.stderr


@pytest.mark.full
def test_from_a_rename_to_a_second_table(terminal: Terminal) -> None:
    """Goes on where the one before ends."""
    folder = terminal.folder
    line = folder / "shop" / "invoices" / "migrations"

    # Nothing to do is said.
    made = terminal.run("migrate", "make", "invoices", "--json")
    assert (made.code, made.document["revision"]) == (0, None), made.stderr

    # A rename is asked about, and never guessed.
    _edit(folder, AMOUNT, TOTAL)
    asked = terminal.run("migrate", "make", "invoices", "--json")
    assert asked.code == 2
    assert asked.document["error"]["code"] == "rename_undecided"
    for name in ("invoices.invoices.amount", "invoices.invoices.total"):
        assert name in asked.document["error"]["message"]
    assert len(list(line.glob("[0-9]*.py"))) == 2
    made = terminal.run("migrate", "make", "invoices", "--rename", "amount=total", "--json")
    assert any("RENAME COLUMN amount TO total" in each for each in made.document["up"])
    assert not any("DROP COLUMN" in each for each in made.document["up"])

    # A table, with what it points at; and a value that existing rows do not have.
    _edit(folder, TOTAL, TOTAL + WEIGHT)
    _edit(
        folder,
        "from sqlalchemy.orm import",
        "from sqlalchemy import ForeignKey\nfrom sqlalchemy.orm import",
    )
    _edit(
        folder,
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nfrom uuid import UUID\n",
    )
    models = folder / "shop" / "invoices" / "models.py"
    models.write_text(models.read_text() + PAYMENT)
    manifest = folder / "shop" / "invoices" / "module.py"
    text = manifest.read_text().replace("import Invoice", "import Invoice, Payment")
    manifest.write_text(text.replace("models=(Invoice,)", "models=(Invoice, Payment)"))
    made = terminal.run("migrate", "make", "invoices", "-m", "payments", "--json")
    assert made.document["revision"] == "0004_payments", made.stderr
    assert made.document["notes"] == [
        "invoices.invoices.weight is NOT NULL without a default: rows that exist need a value."
    ]
    assert 'lines.grant("payments")' in made.document["up"]
    applied = terminal.run("migrate", "apply", "--json")
    assert [each["revision"] for each in applied.document] == [
        "0003_total_renamed",
        "0004_payments",
    ]

    # The database is what the line makes, the line what the models say.
    assert terminal.run("migrate", "diff", "--check").code == 0
    made = terminal.run("migrate", "make", "invoices", "--json")
    assert made.document["revision"] is None


@pytest.mark.full
def test_two_people_wrote_the_next_revision_and_one_is_written_by_hand(terminal: Terminal) -> None:
    """Goes on where the one before ends."""
    line = terminal.folder / "shop" / "invoices" / "migrations"
    for name in ("0005_mine", "0005_theirs"):
        (line / f"{name}.py").write_text(
            f'revision = "{name}"\ndown_revision = "0004_payments"\n\n'
            "def upgrade():\n    pass\n\ndef downgrade():\n    pass\n"
        )
    made = terminal.run("migrate", "make", "invoices", "--json")
    assert made.code == 5
    assert "two heads: 0005_mine and 0005_theirs" in made.document["error"]["message"]
    assert "0006_theirs" in made.document["error"]["next_step"]
    (line / "0005_theirs.py").unlink()

    made = terminal.run("migrate", "make", "invoices", "--empty", "-m", "By hand", "--json")
    assert made.document["revision"] == "0006_by_hand"
    assert terminal.run("migrate", "apply").code == 0

    # An index on a table that is there is built beside the writes.
    _edit(terminal.folder, WEIGHT, WEIGHT.replace("(comment", "(index=True, comment"))
    made = terminal.run("migrate", "make", "invoices", "--json")
    assert "CREATE INDEX CONCURRENTLY ix_invoices_weight" in made.document["up"][0]
    assert terminal.run("migrate", "apply").code == 0
    assert terminal.run("migrate", "diff", "--check").code == 0
