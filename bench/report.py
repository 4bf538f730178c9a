"""The figures as a table, as Markdown or as JSON. Ratios first: they outlive the machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

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
}


@dataclass(slots=True)
class Report:
    """Everything one run of the bench found."""

    plan: Plan
    volumes: Volumes
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    results: Results
    absent: dict[str, str]
    startup_seconds: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def contestants(self) -> list[str]:
        """The contestants that took part."""
        return list(self.versions)

    def figures(self, work: str, name: str) -> Figures | None:
        """Return a contestant's figures in a work, or None where it has none."""
        return self.results.get(work, {}).get(name)

    def ratio(self, work: str, peer: str) -> float | None:
        """Return Bedplate's rate by the peer's, or None where either is missing."""
        ours, theirs = self.figures(work, BEDPLATE), self.figures(work, peer)
        return ratio(ours, theirs) if ours and theirs else None

    def depth_cost(self, name: str) -> float | None:
        """Return how many times the first page's time a contestant's page at depth takes."""
        first, deep = self.figures("page_first", name), self.figures("page_deep", name)
        return ratio(first, deep) if first and deep else None


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
            "table": as_markdown(report).splitlines(),
        },
        indent=2,
    )


def as_text(report: Report) -> str:
    """Return the report for a terminal."""
    header, *rows = _table(report)
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)) for row in (header, *rows)
    ]
    return "\n".join([*lines, "", *_notes(report)])


def as_markdown(report: Report) -> str:
    """Return the report for a README."""
    header, *rows = _table(report)
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *_notes(report)])


def _table(report: Report) -> list[list[str]]:
    names = report.contestants
    table = [["", *names]]
    for work, title in TITLES.items():
        if work in report.results:
            table.append([title, *(_cell(report, work, name) for name in names)])
    costs = [report.depth_cost(name) for name in names]
    depth = [f"{cost:.1f}" if cost is not None else "–" for cost in costs]
    table.append(["times the first page's time, at depth", *depth])
    return table


def _variants(report: Report) -> list[str]:
    return [
        f"{TITLES[work]}, {name}: {_cell(report, work, name)}."
        for work, by_name in report.results.items()
        for name in by_name
        if name not in report.contestants
    ]


def _cell(report: Report, work: str, name: str) -> str:
    figures = report.figures(work, name)
    if figures is None:
        return "–"
    rate = f"{figures.rate:,.0f}" if figures.rate >= 10 else f"{figures.rate:.1f}"
    by = report.ratio(work, name) if name != BEDPLATE else None
    return rate if by is None else f"{rate} ({by:.2f}x)"


def _notes(report: Report) -> Sequence[str]:
    machine, plan, volumes = report.machine, report.plan, report.volumes
    lines = [
        "Operations per second; in brackets Bedplate's rate by that contestant's. "
        f"Medians of {plan.rounds} interleaved rounds of {plan.seconds} s "
        f"({plan.bulk_rounds} for the bulk load), {CLIENTS} clients, one server.",
        *_variants(report),
        f"{volumes.accounts:,} accounts, {volumes.events:,} events, "
        f"{volumes.bulk_rows:,} rows in the bulk load.",
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
    return lines
