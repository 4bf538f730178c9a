"""What Bedplate must reach beside its peers, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report import BARE, BEDPLATE, PRISMA, SQLALCHEMY, Report


@dataclass(frozen=True, slots=True)
class Floor:
    """Bedplate's rate by the peer's in one work must be at least this."""

    work: str
    peer: str
    least: float


FLOORS = (
    Floor("get", BARE, 0.80),
    Floor("get", SQLALCHEMY, 4.0),
    Floor("get", PRISMA, 1.0),
    Floor("relations", BARE, 1.0),
    Floor("relations", PRISMA, 2.5),
    Floor("bulk", BARE, 0.6),
    Floor("deduct", BARE, 0.85),
    Floor("deduct", SQLALCHEMY, 3.0),
    Floor("deduct", PRISMA, 3.0),
    Floor("bill", SQLALCHEMY, 20.0),
    Floor("bill", BARE, 1 / 1.5),
)
DEEP_PAGE_MOST = 2.0
"""How many times the time of the first page a page at depth may take."""


MANY_LEAST = 15.0
"""What `deduct_many` must reach on one hot account of the rate of charges one by one.

Those are psycopg's, of the same function: Bedplate's own `deduct` gathers what waits there."""
HOT_LEAST = 0.35
"""What a charge of a hot account must reach of a bare UPDATE of its balance."""


def missed(report: Report) -> list[str]:
    """Return one sentence for each floor that was missed; an absent peer misses nothing."""
    sentences = [
        f"{floor.work}: {found:.2f} of {floor.peer}, at least {floor.least:.2f} is asked"
        for floor in FLOORS
        if (found := report.ratio(floor.work, floor.peer)) is not None and found < floor.least
    ]
    depth = report.depth_cost(BEDPLATE)
    # Where receipts alone were measured, nobody ran against anybody.
    if BEDPLATE not in report.versions and not report.receipt_ms:
        sentences.append("Bedplate itself did not run")
    elif depth is not None and depth > DEEP_PAGE_MOST:
        sentences.append(
            f"page at depth: {depth:.2f} times the first, at most {DEEP_PAGE_MOST} is asked"
        )
    return sentences + _missed_by_charges(report)


def _missed_by_charges(report: Report) -> list[str]:
    hot = ("deduct_hot", BEDPLATE)
    many = report.between(("deduct_many", BEDPLATE), ("deduct_hot", BARE))
    bare = report.between(hot, ("bare_update", BARE))
    sentences = list[str]()
    if many is not None and many < MANY_LEAST:
        sentences.append(
            f"deduct_many: {many:.1f} times charges one by one, at least {MANY_LEAST} is asked"
        )
    if bare is not None and bare < HOT_LEAST:
        sentences.append(
            f"deduct_hot: {bare:.2f} of a bare UPDATE, at least {HOT_LEAST:.2f} is asked"
        )
    return sentences
