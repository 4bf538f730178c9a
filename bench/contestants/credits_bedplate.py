"""Bedplate charging credits as a request handler would: on `db`, inside an acting context."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import psycopg

from bedplate.kernel import registry
from bedplate.kernel.context import acting
from bedplate.kernel.database import Database
from bedplate.kernel.settings import Settings
from bedplate.modules.credits import Charge, Deducted, OperationType, deduct, deduct_many
from bedplate.project import database
from bench.credits_contestant import BATCH, OPERATION, Charged, Offer

MODULES = ("auth", "credits")


class CreditsBedplate:
    """The shipped verbs, with everything on that they ship with."""

    blocking = False
    _db: Database

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Open a database with the settings a project has, and a pool of the given size."""
        settings = Settings(folder=Path.cwd(), modules=MODULES, pool_size_max=connections)
        self._db = database(settings, registry.load(MODULES), url)
        await self._db.open()
        return {"bedplate": version("bedplate"), "psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the pool."""
        await self._db.close()

    async def deduct(self, user: UUID, key: str, amount: int = 1) -> Charged:
        """Charge one account on its user's own request."""
        with acting(user, request_id=key):
            answer = await deduct(self._db, user, OperationType[OPERATION], key=key, amount=amount)
        if not isinstance(answer, Deducted):
            return None
        return answer.credits_used, answer.balance

    async def deduct_many(self, user: UUID, keys: list[str]) -> int:
        """Charge one account under many keys in one call; return how many it was."""
        operation = OperationType[OPERATION]
        charges = [Charge(user_id=user, operation=operation, key=key, amount=1) for key in keys]
        with acting(user, request_id=keys[0]):
            answers = await deduct_many(self._db, charges)
        if not all(isinstance(answer, Deducted) for answer in answers):
            raise AssertionError("an account with credits was refused")
        return len(answers)

    def further(self) -> Mapping[str, Offer]:
        """Offer the many charges of one call; by two clients, so that the next one is waiting."""
        return {"deduct_many": Offer(self.deduct_many, "hot", charges=BATCH, clients=2)}


def contestant() -> CreditsBedplate:
    """Return the contestant of this file."""
    return CreditsBedplate()
