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
)
DEEP_PAGE_MOST = 2.0
"""How many times the time of the first page a page at depth may take."""


def missed(report: Report) -> list[str]:
    """Return one sentence for each floor that was missed; an absent peer misses nothing."""
    sentences = [
        f"{floor.work}: {found:.2f} of {floor.peer}, at least {floor.least:.2f} is asked"
        for floor in FLOORS
        if (found := report.ratio(floor.work, floor.peer)) is not None and found < floor.least
    ]
    depth = report.depth_cost(BEDPLATE)
    if depth is None:
        sentences.append("Bedplate itself did not run")
    elif depth > DEEP_PAGE_MOST:
        sentences.append(
            f"page at depth: {depth:.2f} times the first, at most {DEEP_PAGE_MOST} is asked"
        )
    return sentences
