"""Interleaved rounds: every contestant runs every work in turn, in rotated order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Any

from bench import data, readings
from bench.data import Keys
from bench.processes import CommandFailed, Worker

WORKS = ("get", "relations", "page_first", "page_deep", "create")
TURNS = (("get",), ("relations",), ("page_first", "page_deep"), ("create",))
"""Works of one turn follow each other, so that they compare within a contestant too."""
CLIENTS = 16
CONNECTIONS = 16
SAMPLE_ACCOUNTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often: seconds a turn, rounds a work, rounds of the bulk load."""

    seconds: float
    rounds: int
    bulk_rounds: int
    bulk_rows: int


@dataclass(slots=True)
class Figures:
    """What one contestant reached in one work, a figure for each round."""

    rates: list[float] = field(default_factory=list[float])
    p50_ms: list[float] = field(default_factory=list[float])
    p95_ms: list[float] = field(default_factory=list[float])

    def add(self, stretch: dict[str, Any]) -> None:
        """Note what one turn measured."""
        self.rates.append(stretch["ops"] / stretch["seconds"])
        self.p50_ms.append(stretch["p50_ms"])
        self.p95_ms.append(stretch["p95_ms"])

    @property
    def rate(self) -> float:
        """The median of operations (or rows) per second."""
        return median(self.rates)


Results = dict[str, dict[str, Figures]]
"""Work, then contestant (a variant is one of its own: its contestant, a comma, its title)."""


async def verify(workers: Sequence[Worker], keys: Keys) -> None:
    """Ask every contestant for the same rows; raises CommandFailed where two differ."""
    answers: list[tuple[str, dict[str, Any]]] = []
    for worker in workers:
        answer = await worker.ask(
            "sample",
            accounts=keys.accounts[:SAMPLE_ACCOUNTS],
            mark=keys.marks[0],
            email=f"created-sample-{worker.name}@example.com",
        )
        answers.append((worker.name, answer))
    reference_name, reference = answers[0]
    for name, answer in answers[1:]:
        for work in WORKS:
            for left, right in zip(answer[work], reference[work], strict=True):
                if left != right:
                    raise CommandFailed(
                        f"{name} and {reference_name} differ in {work}:"
                        f" {left!r:.400} is not {right!r:.400}"
                    )


def rotated(workers: Sequence[Worker], by: int) -> list[Worker]:
    """Return the workers in another order each round, so that none always follows the same."""
    turn = by % len(workers)
    return [*workers[turn:], *workers[:turn]]


async def race(
    workers: Sequence[Worker],
    plan: Plan,
    say: Callable[[str], None],
    turns: Sequence[Sequence[str]] = TURNS,
) -> Results:
    """Run all works but the bulk load; a first turn of each warms up and is not counted."""
    results: Results = {work: {} for turn in turns for work in turn}
    for turn in turns:
        for number in range(plan.rounds + 1):
            at = f"round {number} of {plan.rounds}" if number else "warming up"
            say(f"{', '.join(turn)}: {at}")
            for worker in rotated(workers, number):
                for work in turn:
                    for name, way in _ways(worker, work).items():
                        stretch = await worker.ask("run", work=way, seconds=plan.seconds)
                        if number:
                            results[work].setdefault(name, Figures()).add(stretch)
    return results


def _ways(worker: Worker, work: str) -> dict[str, str]:
    if worker.works is not None and work not in worker.works:
        return {}
    ways = {worker.name: work}
    if work in worker.variants:
        ways[f"{worker.name}, {worker.variants[work]}"] = f"{work}, variant"
    return ways


async def race_bulk(
    workers: Sequence[Worker], plan: Plan, owner_url: str, say: Callable[[str], None]
) -> dict[str, Figures]:
    """Run the bulk load into an empty table each time; count and sum what arrived."""
    figures = {worker.name: Figures() for worker in workers}
    expected = (plan.bulk_rows, readings.total(plan.bulk_rows))
    for number in range(plan.bulk_rounds):
        say(f"bulk: round {number + 1} of {plan.bulk_rounds}")
        for worker in rotated(workers, number):
            data.empty_readings(owner_url)
            took = await worker.ask("bulk", rows=plan.bulk_rows)
            rows, total = data.count_readings(owner_url)
            if (rows, Decimal(total)) != expected:
                raise CommandFailed(f"{worker.name} stored {rows} rows, {total} in all")
            figures[worker.name].rates.append(rows / took["seconds"])
    data.empty_readings(owner_url)
    return figures


def ratio(one: Figures, other: Figures) -> float:
    """Return one's rate by the other's: the median of the rounds' own ratios.

    Rounds are short and interleaved, so whatever slows the machine for a while slows
    both sides of a pair, and the ratio stands.
    """
    return median(a / b for a, b in zip(one.rates, other.rates, strict=True))
