"""The accounting works: a month of invoices by every contestant in turn, and a recount."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from bench import accounting_data, accounting_queries
from bench.accounting_contestant import Way
from bench.accounting_data import Books
from bench.accounting_queries import Reads, Volumes
from bench.processes import CommandFailed, Worker
from bench.rounds import Figures, Plan, Results, rotated
from bench.server import Server

TEMPLATES = 10_000
TEMPLATES_QUICK = 1_000
VARIANTS = {"bill, variant": ("bill", "one commit for all")}
"""A way that stands below the table: the work it is another way of, and what it does otherwise."""


@dataclass(frozen=True, slots=True)
class Bills:
    """What the accounting works found: figures, versions, recounted invoices, reads at volume."""

    results: Results
    versions: dict[str, dict[str, str]]
    recounted: int
    """Invoices in all schemas; each was answered, and every total, month and number is right."""
    volumes: Volumes
    reads: dict[str, Reads]
    a_round: dict[str, int]
    """How many invoices each contestant makes in a round."""


@dataclass(slots=True)
class Billing:
    """Which month each schema is billed for next."""

    books: Books
    months: dict[str, int] = field(default_factory=dict[str, int])
    billed: dict[str, int] = field(default_factory=dict[str, int])

    def order(self, way: Way) -> dict[str, object]:
        """Return the next order: a month through its last day, and how many templates of it."""
        templates = self.books.templates // way.share
        # A loop that takes a share of the templates stays in a month until all of it is billed.
        done = self.months.get(way.schema, 0)
        self.months[way.schema] = done + 1
        return {"through": self._last_day(done // way.share).isoformat(), "templates": templates}

    def acknowledge(self, way: Way, invoices: int) -> None:
        """Note what was answered; raises CommandFailed where it is not all that was asked for."""
        asked = self.books.templates // way.share
        if invoices != asked:
            raise CommandFailed(f"{invoices} invoices were made in {way.schema}, not {asked}")
        self.billed[way.schema] = self.billed.get(way.schema, 0) + invoices

    def _last_day(self, months: int) -> date:
        first = self.books.first_month
        year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
        return date(year, month + 1, calendar.monthrange(year, month + 1)[1])


async def measure(
    workers: list[Worker],
    server: Server,
    plan: Plan,
    say: Callable[[str], None],
    quick: bool,
) -> Bills:
    """Bill in rounds, recount, and read at the plan's volumes; raises CommandFailed."""
    templates = TEMPLATES_QUICK if quick else TEMPLATES
    say(f"{templates:,} customers with miners, prices and templates")
    billing = Billing(accounting_data.load(server.owner_url, server.url, templates))
    ways: dict[str, dict[str, Way]] = {}
    versions: dict[str, dict[str, str]] = {}
    for worker in workers:
        answer = await worker.ask("open", url=server.url)
        versions[worker.name] = answer["versions"]
        ways[worker.name] = {work: Way(**way) for work, way in answer["ways"].items()}
    results = await _race(workers, ways, billing, plan, say)
    for worker in workers:
        await worker.ask("close")
    recounted = recount(server.owner_url, billing)
    volumes = accounting_queries.QUICK if quick else accounting_queries.FULL
    say(f"{volumes.invoices:,} invoices, {volumes.audit_rows:,} entries of the audit log")
    accounting_queries.fill(server.owner_url, volumes)
    reads = await accounting_queries.measure(server.owner_url, server.url)
    a_round = {name: templates // of["bill"].share for name, of in ways.items() if "bill" in of}
    return Bills(results, versions, recounted, volumes, reads, a_round)


async def _race(
    workers: list[Worker],
    ways: dict[str, dict[str, Way]],
    billing: Billing,
    plan: Plan,
    say: Callable[[str], None],
) -> Results:
    results: Results = {}
    for number in range(plan.rounds + 1):
        say(f"recurring run: {f'round {number} of {plan.rounds}' if number else 'warming up'}")
        for worker in rotated(workers, number):
            for way_name, way in ways[worker.name].items():
                answer = await worker.ask("bill", work=way_name, **billing.order(way))
                billing.acknowledge(way, answer["invoices"])
                if number:
                    work, variant = VARIANTS.get(way_name, (way_name, ""))
                    name = f"{worker.name}, {variant}" if variant else worker.name
                    figures = results.setdefault(work, {}).setdefault(name, Figures())
                    figures.rates.append(answer["invoices"] / answer["seconds"])
    return results


def recount(owner_url: str, billing: Billing) -> int:
    """Count all invoices anew; raises CommandFailed where they are not what was answered."""
    wrong, found = accounting_data.recount(owner_url)
    for schema, rows in wrong.items():
        if rows:
            raise CommandFailed(f"{rows} invoices or numbers of {schema} are wrong")
    for schema, billed in billing.billed.items():
        if found[schema] != billed:
            raise CommandFailed(
                f"{billed} invoices were answered in {schema}, {found[schema]} are there"
            )
    return sum(found.values())
