"""The figures as a table, as Markdown or as JSON. Ratios first: they outlive the machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.accounting_queries import BOUND_MS
from bench.accounting_rounds import Bills
from bench.credits_rounds import COSTS, Charges
from bench.data import Volumes
from bench.rounds import CLIENTS, Figures, Plan, Results, ratio

BEDPLATE = "Bedplate"
BARE = "bare psycopg"
SQLALCHEMY = "SQLAlchemy session"
DJANGO = "Django ORM"
PRISMA = "Prisma 7"
TITLES = {
    "get": "get by key",
    "relations": "row + 1-1 + last 10 of 1-n",
    "page_first": "first page of 50",
    "page_deep": "page of 50 at 90 % depth",
    "create": "create, returning the row",
    "bulk": "bulk load, rows/s",
    "deduct": "deduct, 10,000 accounts",
    "deduct_hot": "deduct, one hot account",
    "deduct_many": "deduct_many of 1,000 there, charges/s",
    "bare_update": "bare UPDATE of one hot balance",
    "bill": "recurring run, invoices/s",
    "bill_untriggered": "the same statements without triggers",
}

BILLED = ("bill", "bill_untriggered")


@dataclass(slots=True)
class Report:
    """Everything one run of the bench found."""

    plan: Plan
    volumes: Volumes
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    results: Results
    absent: dict[str, str]
    charges: Charges | None = None
    bills: Bills | None = None
    startup_seconds: dict[str, float] = field(default_factory=dict[str, float])
    receipt_ms: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def contestants(self) -> list[str]:
        """The contestants that took part."""
        return list(self.versions)

    def figures(self, work: str, name: str) -> Figures | None:
        """Return a contestant's figures in a work, or None where it has none."""
        return self.results.get(work, {}).get(name)

    def ratio(self, work: str, peer: str) -> float | None:
        """Return Bedplate's rate by the peer's, or None where either is missing."""
        return self.between((work, BEDPLATE), (work, peer))

    def between(self, one: tuple[str, str], other: tuple[str, str]) -> float | None:
        """Return the first work's rate by the second's, each with its contestant, or None."""
        ours, theirs = self.figures(*one), self.figures(*other)
        return ratio(ours, theirs) if ours and theirs else None

    def depth_cost(self, name: str) -> float | None:
        """Return how many times the first page's time a contestant's page at depth takes."""
        return self.between(("page_first", name), ("page_deep", name))


def as_json(report: Report) -> str:
    """Return the whole report, every round included, as JSON."""
    results = {
        work: {
            name: {"median": figures.rate, **asdict(figures)} for name, figures in by_name.items()
        }
        for work, by_name in report.results.items()
    }
    ratios = {
        work: {name: report.ratio(work, name) for name in by_name if name != BEDPLATE}
        for work, by_name in report.results.items()
    }
    return json.dumps(
        {
            "plan": asdict(report.plan),
            "rows": asdict(report.volumes),
            "machine": report.machine,
            "versions": report.versions,
            "absent": report.absent,
            "results": results,
            "bedplate_by_peer": ratios,
            "depth_cost": {name: report.depth_cost(name) for name in report.contestants},
            "startup_seconds": report.startup_seconds,
            "receipt_ms": report.receipt_ms,
            "recounted_charges": report.charges.recounted if report.charges else None,
            "recounted_invoices": report.bills.recounted if report.bills else None,
            "triggers_share": triggers_share(report),
            "reads_ms": {title: asdict(reads) for title, reads in report.bills.reads.items()}
            if report.bills
            else None,
            "naive": asdict(report.charges.naive)
            if report.charges and report.charges.naive
            else None,
            "table": as_markdown(report).splitlines(),
        },
        indent=2,
    )


def as_text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = list[str]()
    for header, *rows in _tables(report):
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        lines += [
            "  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row))
            for row in (header, *rows)
        ]
        lines.append("")
    return "\n".join([*lines, *_notes(report)])


def as_markdown(report: Report) -> str:
    """Return the report for a README."""
    lines = list[str]()
    for header, *rows in _tables(report):
        lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return "\n".join([*lines, *_notes(report)])


def _tables(report: Report) -> list[list[list[str]]]:
    tables = (_table(report), _costs(report), _reads(report))
    return [table for table in tables if table]


def _costs(report: Report) -> list[list[str]]:
    """Return what each guarantee of a charge costs; nothing where nobody measured it."""
    works = [(work, BARE, title) for work, title in COSTS.items()]
    works.append(("deduct", BARE, "all of it: the function `credits.deduct`, called by psycopg"))
    works.append(("deduct", BEDPLATE, "the same called by Bedplate, timed and mapped"))
    rows = [
        [title, f"{figures.rate:,.0f}", f"{share:.2f}"]
        for work, name, title in works
        if (figures := report.figures(work, name))
        and (share := report.between((work, name), ("cost_update", BARE))) is not None
    ]
    return (
        [["the cost of each guarantee", "charges/s", "of the bare UPDATE"], *rows] if rows else []
    )


def _reads(report: Report) -> list[list[str]]:
    """Return how long the plan's queries of accounting take; nothing where nobody asked them."""
    bills = report.bills
    if bills is None:
        return []
    rows = [
        [title, f"{reads.p50_ms:.1f}", f"{reads.p95_ms:.1f}"]
        for title, reads in bills.reads.items()
    ]
    among = f"among {bills.volumes.invoices:,} invoices, {bills.volumes.audit_rows:,} audit entries"
    return [[f"{among} (the plan asks for {BOUND_MS} ms)", "p50 ms", "p95 ms"], *rows]


def triggers_share(report: Report) -> float | None:
    """Return what share of the shipped run's time its triggers take, or None if not measured."""
    share = report.between(("bill", BARE), ("bill_untriggered", BARE))
    return None if share is None else 1 - share


def _table(report: Report) -> list[list[str]]:
    names = report.contestants
    table = [["", *names]]
    for work, title in TITLES.items():
        if report.results.get(work):
            table.append([title, *(_cell(report, work, name) for name in names)])
    if "page_deep" in report.results:
        costs = [report.depth_cost(name) for name in names]
        depth = [f"{cost:.1f}" if cost is not None else "–" for cost in costs]
        table.append(["times the first page's time, at depth", *depth])
    return table if len(table) > 1 else []


def _variants(report: Report) -> list[str]:
    return [
        f"{TITLES[work]}, {name}: {_cell(report, work, name)}."
        for work, by_name in report.results.items()
        for name in by_name
        if name not in report.contestants
    ]


def _billed(report: Report) -> list[str]:
    if report.bills is None:
        return []
    lines = [
        f"Recounted: {report.bills.recounted:,} invoices, each one answered; every total, one per "
        "template and month, numbers without gaps."
    ]
    share = triggers_share(report)
    if share is not None:
        lines.append(
            f"The triggers (guards, audit log, documents) take {share:.0%} of a run's time; "
            "their rows are part of it."
        )
    return lines


def _recounts(report: Report) -> list[str]:
    charges = report.charges
    if charges is None:
        return []
    lines = [
        f"Recounted: {charges.recounted:,} charges, each one acknowledged; every account adds up."
    ]
    one_by_one = report.between(("deduct_many", BEDPLATE), ("deduct_hot", BARE))
    gathered = report.between(("deduct_many", BEDPLATE), ("deduct_hot", BEDPLATE))
    if one_by_one and gathered:
        lines.append(
            f"deduct_many on the hot account: {one_by_one:.1f} times psycopg's calls one by one,"
            f" {gathered:.1f} times Bedplate's deduct, which gathers what waits there."
        )
    plan = report.figures("naive", BARE)
    if charges.naive and plan:
        lost = charges.naive.charged - charges.naive.deducted
        lines.append(
            f"The plan's own code (read, check, write) on one account: {plan.rate:,.0f} charges/s; "
            f"it charged {charges.naive.charged:,} credits and deducted {charges.naive.deducted:,}:"
            f" {lost:,} lost."
        )
    return lines


def _cell(report: Report, work: str, name: str) -> str:
    figures = report.figures(work, name)
    if figures is None:
        return "–"
    rate = f"{figures.rate:,.0f}" if figures.rate >= 10 else f"{figures.rate:.1f}"
    by = report.ratio(work, name) if name != BEDPLATE else None
    return rate if by is None else f"{rate} ({by:.2f}x)"


def _volumes(report: Report) -> list[str]:
    volumes = report.volumes
    if "bulk" not in report.results:
        return []
    return [
        f"{volumes.accounts:,} accounts, {volumes.events:,} events, "
        f"{volumes.bulk_rows:,} rows in the bulk load."
    ]


def _rounds(report: Report) -> list[str]:
    """Say how each work that took part was measured; no two families are measured alike."""
    plan, works = report.plan, report.results.keys()
    lines = list[str]()
    if works:
        lines.append(
            "In brackets Bedplate's rate by that contestant's. Medians of interleaved rounds,"
            " one server."
        )
    if works - {"bulk", *BILLED}:
        lines.append(
            f"Operations per second: {plan.rounds} rounds of {plan.seconds} s, {CLIENTS} clients."
        )
    if "bulk" in works:
        lines.append(f"Bulk load: {plan.bulk_rounds} rounds, one client.")
    if report.bills is not None:
        each = ", ".join(f"{many:,} by {name}" for name, many in report.bills.a_round.items())
        lines.append(
            f"Recurring run: {plan.rounds} rounds, each once over invoices of one month,"
            f" on one connection: {each}."
        )
    return lines


def _notes(report: Report) -> Sequence[str]:
    machine = report.machine
    lines = [
        *_rounds(report),
        *_variants(report),
        *_recounts(report),
        *_billed(report),
        *_volumes(report),
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"PostgreSQL {machine['postgresql']}, Python {machine['python']}.",
    ]
    for name, versions in report.versions.items():
        lines.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".")
    for name, reason in report.absent.items():
        lines.append(f"{name} did not take part: {reason}.")
    if report.startup_seconds:
        took = ", ".join(f"{name} {s:.1f} s" for name, s in report.startup_seconds.items())
        lines.append(f"`bedplate up` until ready: {took}.")
    for tables, ms in report.receipt_ms.items():
        lines.append(f"A migration's receipt beside {tables:,} tables: {ms:.0f} ms.")
    return lines
