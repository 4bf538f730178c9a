"""Drives one case of the battery through the runner, as a revision that declares nothing."""

from __future__ import annotations

from pathlib import Path

import psycopg

from bedplate.kernel.errors import BedplateError, UndeclaredTouch
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from tests.databases import TestDatabase
from tests.operations.battery.case import Case
from tests.operations.battery.trial import populate
from tests.operations.battery.truth import catalog, changed, truth
from tests.operations.fake_module import FakeModule

FIRST = """
def upgrade():
    pass

def downgrade():
    pass
"""


class Driven:
    """A database whose schema `shop` is a module's, with the world in it."""

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self.database = database
        self.module = FakeModule(folder)
        self.module.add("0001_first", FIRST)
        self._apply(database.owner_url)
        self.admin = psycopg.connect(database.admin_url, autocommit=True)
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            populate(database, owner, self.admin)

    def close(self) -> None:
        self.admin.close()

    def drive(self, number: int, case: Case) -> tuple[str, set[str]]:
        """Apply the case; return how it ended, and what reads or is defined differently since.

        The file has a name of its own each time: Python would else take an older one's code.
        """
        before, defined = truth(self.admin), catalog(self.admin)
        name = f"0002_case_{number}"
        statements = case.statements.replace("{app}", self.database.roles[1])
        self.module.before = "0001_first"
        self.module.add(name, f"def upgrade():\n    lines.current().execute({statements!r})\n")
        url = self.database.admin_url if case.superuser else self.database.owner_url
        try:
            self._apply(url)
            outcome = "applied"
        except UndeclaredTouch:
            outcome = "rolled back"
        except BedplateError as error:
            outcome = str(error)
        finally:
            (self.module.line / f"{name}.py").unlink()
        traces = changed(before, truth(self.admin))
        if catalog(self.admin) != defined:
            traces.add("the catalog")
        return outcome, traces

    def _apply(self, owner_url: str) -> None:
        migrate.apply_unproven(
            Registry([self.module.manifest()]),
            owner_url=owner_url,
            app_url=self.database.app_url,
        )
