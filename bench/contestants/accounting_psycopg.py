"""psycopg calling the shipped function, and the same statements on tables without triggers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar

import psycopg

from bench.accounting_contestant import BATCH, Way
from bench.accounting_data import LEDGER, UNTRIGGERED

_RUN = {
    work: f"SELECT * FROM {schema}.run_recurring(%s, %s, true, %s)".encode()
    for work, schema in (("bill", LEDGER), ("bill_untriggered", UNTRIGGERED))
}


class AccountingPsycopg:
    """One autocommit connection, binary results, prepared statements."""

    ways: ClassVar[Mapping[str, Way]] = {
        "bill": Way(LEDGER),
        "bill_untriggered": Way(UNTRIGGERED),
    }
    _connection: psycopg.AsyncConnection[Any]

    async def open(self, url: str) -> dict[str, str]:
        """Connect."""
        self._connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        self._connection.prepare_threshold = 0
        return {"psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def run(self, work: str, through: date, templates: int) -> int:
        """Bill through a day until nothing is due."""
        invoices, after = 0, None
        while True:
            async with self._connection.cursor(binary=True) as cursor:
                await cursor.execute(_RUN[work], [through, BATCH, after])
                rows = await cursor.fetchall()
            if not rows:
                return invoices
            invoices += sum(made is not None for *_, made in rows)
            after = max(template for template, *_ in rows)


def contestant() -> AccountingPsycopg:
    """Return the contestant of this file."""
    return AccountingPsycopg()
