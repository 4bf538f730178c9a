"""Load every module's samples."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.kernel.database import Database
from bedplate.kernel.registry import Registry


@dataclass(frozen=True, slots=True)
class Seeded:
    """How many sample rows a module added; 0 where they were there already."""

    module: str
    rows: int


async def load(db: Database, registry: Registry) -> tuple[Seeded, ...]:
    """Load the samples of every enabled module in one transaction: all of them or none.

    Run twice it changes nothing. The caller decides whether the database may have samples at all.
    """
    async with db.transaction() as tx:
        return tuple(
            [
                Seeded(manifest.name, await manifest.samples(tx))
                for manifest in registry.ordered
                if manifest.samples is not None
            ]
        )
