"""The traceability ledger says what is so, and what is open only shrinks."""

from __future__ import annotations

import enum
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Index, Numeric, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bedplate.kernel.processes import run
from tests.house import traceability, traceability_claims

THIS = "tests/house/test_traceability.py::test_every_claim_is_so"

# What each plan holds, counted in the plans themselves: an item cannot leave the ledger unseen.
COUNTS = {
    "A": {
        "step": 30, "rule": 6, "operation": 4, "model": 6, "field": 73, "unique": 5,
        "reference": 5, "enum": 2, "set": 1, "member": 15,
    },
    "B": {
        "model": 6, "field": 64, "relation": 15, "unique": 3, "index": 24, "reference": 13,
        "enum": 4, "member": 35, "existing": 7, "rule": 25, "operation": 14, "success": 10,
        "performance": 2, "volume": 7, "document": 4,
    },
    "C": {
        "table": 6, "content": 14, "repository": 6, "rule": 6, "operation": 6, "success": 6,
        "model": 4, "field": 42, "unique": 2, "reference": 2, "set": 3, "member": 12,
    },
    "D": {
        "model": 11, "field": 77, "relation": 13, "unique": 5, "index": 3, "reference": 6,
        "enum": 1, "member": 11, "rule": 10, "operation": 14, "script": 11, "document": 8,
    },
    "E": {
        "schema": 5, "model": 30, "field": 341, "unique": 32, "reference": 36, "enum": 12,
        "set": 1, "member": 49, "one-to-one": 4, "one-to-many": 15, "rule": 19, "pattern": 7,
        "feature": 13, "deliverable": 14, "operation": 6, "must-have": 8, "nice-to-have": 4,
    },
}  # fmt: skip

PLANS = traceability.read()
each_plan = pytest.mark.parametrize("plan", PLANS, ids=[plan.letter for plan in PLANS])


def test_the_ledger_holds_all_five_plans() -> None:
    assert [plan.letter for plan in PLANS] == list(COUNTS)


@each_plan
def test_no_item_of_a_plan_is_missing(plan: traceability.Plan) -> None:
    assert dict(plan.kinds) == COUNTS[plan.letter]


@each_plan
def test_ids_are_unique(plan: traceability.Plan) -> None:
    ids = [item.id for item in plan.items]
    assert sorted(ids) == sorted(set(ids))


@each_plan
def test_every_claim_is_so(plan: traceability.Plan) -> None:
    assert traceability_claims.problems([plan]) == []


@each_plan
def test_open_max_is_the_number_of_open_items(plan: traceability.Plan) -> None:
    assert plan.open_max == len(plan.open_items), (
        f"{len(plan.open_items)} items of plan {plan.letter} are open, its file says "
        f"{plan.open_max}: `python -m tests.house.traceability --lower` writes a smaller number."
    )


@each_plan
def test_open_items_only_shrink(plan: traceability.Plan) -> None:
    """Newest first, every open_max in the file's history is at least the one that came after."""
    path = plan.path.relative_to(traceability.ROOT).as_posix()
    history = _every_open_max(path)
    numbers = [plan.open_max, *history]
    assert numbers == sorted(numbers), f"{path}: open_max was {history[::-1]}, it may only fall."


def _every_open_max(path: str) -> list[int]:
    if shutil.which("git") is None or not (traceability.ROOT / ".git").exists():
        return []
    argv = ["git", "-C", str(traceability.ROOT), "log", "--first-parent", "--format=", "-p", "-U0"]
    finished = run([*argv, "--", path], timeout_s=30)
    added = "+open_max = "
    return [
        int(line.removeprefix(added))
        for line in finished.stdout.splitlines()
        if line.startswith(added)
    ]


# ---------------------------------------------------------------- the checks find what is false


class _Base(DeclarativeBase):
    pass


class Bill(_Base):
    """A model to make true and false claims about."""

    __tablename__ = "bills"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_email: Mapped[str] = mapped_column(index=True)
    hash: Mapped[str | None]
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2))


Index("uq_bills_owner", func.lower(Bill.owner_email), unique=True)


class State(enum.Enum):
    """An enum with one member more than the plan has."""

    OPEN = "OPEN"
    SHUT = "SHUT"
    EXTRA = "EXTRA"


def _problems(monkeypatch: pytest.MonkeyPatch, plan_text: str) -> list[str]:
    known = {"here.Bill": Bill, "here.State": State}
    monkeypatch.setattr(traceability_claims, "find", known.get)
    head = '[plan]\nletter = "X"\ntitle = ""\nopen_max = 0\n'
    plan = traceability.parse(f"{head}{plan_text}".replace("THIS", THIS), Path("plan-x.toml"))
    return traceability_claims.problems([plan])


BILL = '[done.Bill]\nplace = "here.Bill"\ntest = "THIS"\n'
STATE = '[done.State]\nplace = "here.State"\ntest = "THIS"\n'


@pytest.mark.parametrize(
    "claims",
    [
        '[model.Bill]\nfields = ["id", "ownerEmail"]\nunique = ["ownerEmail"]\n' + BILL,
        '[model.Bill]\nfields = ["password"]\n' + BILL + 'columns = { password = "hash" }\n',
        '[model.Bill]\nfields = ["id", "later"]\n' + BILL + 'open = ["later"]\n',
        '[model.Bill]\ntable = "bills"\nfields = ["total Decimal(12,2)"]\n' + BILL,
        '[model.Bill]\nindex = ["id", "ownerEmail"]\n' + BILL,
        '[set.State]\nproposed = ["OPEN"]\n' + STATE,
        '[rule]\nr = "a rule"\n[done."rule.r"]\nplace = "README.md"\ntest = "THIS"\n',
    ],
)
def test_a_true_claim_passes(monkeypatch: pytest.MonkeyPatch, claims: str) -> None:
    assert _problems(monkeypatch, claims) == []


@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ('[model.Bill]\nfields = ["later"]\n' + BILL, "no column later"),
        ('[model.Bill]\nfields = ["total? Int"]\n' + BILL, "lets it be null"),
        ('[model.Bill]\nfields = ["total Decimal(10,2)"]\n' + BILL, "says Decimal(10,2)"),
        ('[model.Bill]\ntable = "invoices"\n' + BILL, "the plan says invoices"),
        ('[model.Bill]\nrelations = ["owner"]\n' + BILL, "no relation owner"),
        ('[model.Bill]\nunique = ["total"]\n' + BILL, "no unique rule"),
        ('[model.Bill]\nindex = ["hash"]\n' + BILL, "no index that begins"),
        ('[model.Bill]\n' + BILL + 'open = ["gone"]\n', "names gone"),
        (BILL, "is about no item"),
        ('[enum.State]\nmembers = ["OPEN", "SHUT"]\n' + STATE, "more members"),
        ('[enum.State]\nproposed = ["NEVER"]\n' + STATE, "no member NEVER"),
        ('[model.Bill]\n[done.Bill]\nplace = "no.where"\ntest = "THIS"\n', "can be imported"),
        ('[model.Bill]\n[done.Bill]\nplace = "here.Bill"\ntest = "tests/no.py::x"\n', "no file"),
        ('[model.Bill]\n[done.Bill]\nplace = "here.Bill"\ntest = "THISx"\n', "has no test"),
        ('[model.Bill]\n[done.Bill]\nplace = "README.md"\ntest = "THIS"\n', "dotted name"),
    ],
)  # fmt: skip
def test_a_false_claim_is_found(
    monkeypatch: pytest.MonkeyPatch, claims: str, complaint: str
) -> None:
    found = _problems(monkeypatch, claims)
    assert any(complaint in problem for problem in found), found


def test_dotted_names_are_found_down_to_the_attribute() -> None:
    assert traceability_claims.find("pathlib.Path.exists") is Path.exists
    assert traceability_claims.find("pathlib.Path.gone") is None
    assert traceability_claims.find("no_such_package.Thing") is None


def test_names_become_columns() -> None:
    names = ["id", "clerkUserId", "last4", "priceMonthlyCents"]
    assert [traceability_claims.snake(name) for name in names] == [
        "id", "clerk_user_id", "last4", "price_monthly_cents",
    ]  # fmt: skip


def test_lowering_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "plan-x.toml"
    text = '[plan]\nletter = "X"\ntitle = ""\nopen_max = 2\n[rule]\na = "a"\n'
    path.write_text(text)
    traceability.lower(traceability.parse(text, path))
    assert "open_max = 1\n" in path.read_text()
    grown = text.replace("open_max = 2", "open_max = 0")
    with pytest.raises(traceability.LedgerError, match="1 items are open, 0 at most"):
        traceability.lower(traceability.parse(grown, path))


def test_the_summary_counts_every_item() -> None:
    total = sum(len(plan.items) for plan in PLANS)
    assert f"{total}" in traceability.summary(PLANS).splitlines()[-1]
