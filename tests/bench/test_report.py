"""What the bench says of figures that are known beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench import floors, prisma
from bench.accounting_queries import Reads, Volumes
from bench.accounting_rounds import Bills
from bench.credits_data import Lost
from bench.credits_rounds import Charges
from bench.data import QUICK
from bench.report import (
    BARE,
    BEDPLATE,
    PRISMA,
    SQLALCHEMY,
    Report,
    as_json,
    as_markdown,
    as_text,
)
from bench.rounds import Figures, Plan


def figures(*rates: float) -> Figures:
    return Figures(list(rates), [1.0] * len(rates), [2.0] * len(rates))


@pytest.fixture
def report() -> Report:
    return Report(
        plan=Plan(seconds=0.3, rounds=3, bulk_rounds=3, bulk_rows=10),
        volumes=QUICK,
        machine={"date": "2026-01-01", "processor": "P", "cores": "2", "python": "3.11"}
        | {"postgresql": "18.1"},
        versions={BEDPLATE: {"bedplate": "1"}, BARE: {"psycopg": "3"}},
        results={
            # The machine slowed down in the third round, for both.
            "get": {BEDPLATE: figures(90, 90, 9), BARE: figures(100, 100, 10)},
            "page_first": {BEDPLATE: figures(100, 100, 100), BARE: figures(100, 100, 100)},
            "page_deep": {BEDPLATE: figures(80, 80, 80), BARE: figures(10, 10, 10)},
        },
        absent={PRISMA: "node and npm are not installed"},
    )


def test_a_ratio_is_the_median_of_the_rounds_own_ratios(report: Report) -> None:
    assert report.ratio("get", BARE) == pytest.approx(0.9)
    assert report.ratio("get", PRISMA) is None


def test_a_page_at_depth_is_counted_in_first_pages(report: Report) -> None:
    assert report.depth_cost(BEDPLATE) == pytest.approx(1.25)
    assert report.depth_cost(BARE) == pytest.approx(10)


def test_floors_that_are_reached_say_nothing(report: Report) -> None:
    assert floors.missed(report) == []


def test_a_missed_floor_is_named_with_its_figure(report: Report) -> None:
    report.results["get"][BEDPLATE] = figures(50, 50, 5)
    report.results["page_deep"][BEDPLATE] = figures(40, 40, 40)
    assert floors.missed(report) == [
        "get: 0.50 of bare psycopg, at least 0.80 is asked",
        "page at depth: 2.50 times the first, at most 2.0 is asked",
    ]


def charged(report: Report, *, hot: float = 40, many: float = 800) -> Report:
    """The report with credits works: a bare UPDATE at 100, the plan's code losing 70 of 90."""
    report.results |= {
        "deduct": {BEDPLATE: figures(45, 45, 45), BARE: figures(50, 50, 50)},
        "deduct_hot": {BEDPLATE: figures(hot, hot, hot), BARE: figures(20, 20, 20)},
        "deduct_many": {BEDPLATE: figures(many, many, many)},
        "bare_update": {BARE: figures(100, 100, 100)},
        "cost_update": {BARE: figures(100, 100, 100)},
        "cost_history": {BARE: figures(80, 80, 80)},
        "naive": {BARE: figures(30, 30, 30)},
    }
    report.charges = Charges(report.results, report.versions, 1_234, Lost(90, 20))
    return report


def test_credits_floors_that_are_reached_say_nothing(report: Report) -> None:
    assert floors.missed(charged(report)) == []


def test_missed_credits_floors_are_named_with_their_figures(report: Report) -> None:
    assert floors.missed(charged(report, hot=20, many=100)) == [
        "deduct_many: 5.0 times charges one by one, at least 15.0 is asked",
        "deduct_hot: 0.20 of a bare UPDATE, at least 0.35 is asked",
    ]


def test_the_cost_of_each_guarantee_is_told_in_bare_updates(report: Report) -> None:
    assert "the cost of each guarantee" not in as_markdown(report)
    told = as_markdown(charged(report))
    assert "| bare UPDATE of the balance | 100 | 1.00 |" in told
    assert "| and a history row, unique by its key | 80 | 0.80 |" in told
    assert "| the same called by Bedplate, timed and mapped | 45 | 0.45 |" in told


def test_what_was_recounted_and_what_the_plans_code_lost_is_told(report: Report) -> None:
    told = as_text(charged(report))
    assert "Recounted: 1,234 charges" in told
    assert "40.0 times psycopg's calls one by one, 20.0 times Bedplate's deduct" in told
    assert "charged 90 credits and deducted 20: 70 lost" in told
    assert json.loads(as_json(report))["naive"] == {"charged": 90, "deducted": 20}


def billed(report: Report, *, ours: float = 900) -> Report:
    """The report with accounting works: the shipped function at 1,000, the session at 40."""
    report.results |= {
        "bill": {
            BEDPLATE: figures(ours, ours, ours),
            BARE: figures(1_000, 1_000, 1_000),
            SQLALCHEMY: figures(40, 40, 40),
        },
        "bill_untriggered": {BARE: figures(2_500, 2_500, 2_500)},
    }
    volumes = Volumes(invoices=600, audit_rows=2_400)
    reads = {"invoices by status": Reads(1.26, 3.14)}
    a_round = {BEDPLATE: 10_000, BARE: 10_000, SQLALCHEMY: 1_000}
    report.bills = Bills(report.results, report.versions, 4_321, volumes, reads, a_round)
    return report


def test_accounting_floors_that_are_reached_say_nothing(report: Report) -> None:
    assert floors.missed(billed(report)) == []


def test_missed_accounting_floors_are_named_with_their_figures(report: Report) -> None:
    assert floors.missed(billed(report, ours=600)) == [
        "bill: 15.00 of SQLAlchemy session, at least 20.00 is asked",
        "bill: 0.60 of bare psycopg, at least 0.67 is asked",
    ]


def test_what_was_billed_read_and_recounted_is_told(report: Report) -> None:
    told = as_markdown(billed(report))
    assert "| recurring run, invoices/s | 900 | 1,000 (0.90x) |" in told
    assert "The triggers (guards, audit log, documents) take 60% of a run's time" in told
    assert "Recounted: 4,321 invoices" in told
    assert "| among 600 invoices, 2,400 audit entries (the plan asks for 100 ms) |" in told
    assert "| invoices by status | 1.3 | 3.1 |" in told
    found = json.loads(as_json(report))
    assert found["triggers_share"] == pytest.approx(0.6)
    assert found["reads_ms"]["invoices by status"] == {"p50_ms": 1.26, "p95_ms": 3.14}


def test_each_work_says_how_it_was_measured_and_no_other_does(report: Report) -> None:
    timed = "Operations per second: 3 rounds of 0.3 s, 16 clients."
    bulk = "Bulk load: 3 rounds, one client."
    run = (
        "Recurring run: 3 rounds, each once over invoices of one month, on one connection:"
        " 10,000 by Bedplate, 10,000 by bare psycopg, 1,000 by SQLAlchemy session."
    )
    assert timed in as_text(report)
    assert "Bulk" not in as_text(report)
    report.results["bulk"] = {BEDPLATE: figures(1)}
    assert bulk in as_text(report)
    report.results.clear()
    told = as_text(billed(report))
    assert run in told
    assert "16 clients" not in told
    assert "Bulk" not in told
    report.results, report.bills = {}, None
    assert "rounds" not in as_text(report)


def test_every_form_names_the_absent_with_the_reason(report: Report) -> None:
    for show in (as_json, as_markdown, as_text):
        assert "node and npm are not installed" in show(report)


def test_json_keeps_every_round(report: Report) -> None:
    told = json.loads(as_json(report))
    assert told["results"]["get"][BEDPLATE]["rates"] == [90, 90, 9]
    assert told["bedplate_by_peer"]["get"][BARE] == pytest.approx(0.9)


async def test_prisma_is_absent_without_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(prisma.PrismaAbsent, match="node and npm"):
        await prisma.prepare(tmp_path)
