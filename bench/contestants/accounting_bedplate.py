"""Bedplate billing as its worker's job does: the shipped run, everything on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import psycopg

from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.kernel.settings import Settings
from bedplate.modules.accounting import run_recurring
from bedplate.project import database
from bench.accounting_contestant import BATCH, Way
from bench.accounting_data import LEDGER, MODULES


class AccountingBedplate:
    """The shipped verb, a call a thousand templates."""

    ways: ClassVar[Mapping[str, Way]] = {"bill": Way(LEDGER)}
    _db: Database

    async def open(self, url: str) -> dict[str, str]:
        """Open a database with the settings a project has."""
        settings = Settings(folder=Path.cwd(), modules=MODULES, pool_size_max=1)
        self._db = database(settings, registry.load(MODULES), url)
        await self._db.open()
        return {"bedplate": version("bedplate"), "psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the pool."""
        await self._db.close()

    async def run(self, work: str, through: date, templates: int) -> int:
        """Bill through a day until nothing is due."""
        billed = await run_recurring(self._db, through=through, most=BATCH)
        invoices = len(billed.made)
        while billed.last is not None:
            billed = await run_recurring(self._db, through=through, most=BATCH, after=billed.last)
            invoices += len(billed.made)
        return invoices


def contestant() -> AccountingBedplate:
    """Return the contestant of this file."""
    return AccountingBedplate()
