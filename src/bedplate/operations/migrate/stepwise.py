"""A revision whose statements commit one by one."""

from __future__ import annotations

from bedplate.kernel.errors import MigrationFailed
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.surroundings import Surroundings


def run_stepwise(step: Step, surroundings: Surroundings, revision: Revision) -> Receipt:
    """Refuse: revisions outside of a transaction cannot be run yet. Raises MigrationFailed."""
    del surroundings
    raise MigrationFailed(
        f"Module {revision.line}, revision {revision.name} says transactional = False,"
        f" which cannot be run {step.direction} yet.",
        "Remove that line from the file; nothing was changed.",
    )
