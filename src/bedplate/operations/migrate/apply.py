"""Bring every line to its head, where a rehearsal proves that it may be done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import ProofFailed, RehearsalRefused
from bedplate.operations import backup
from bedplate.operations.migrate import lock
from bedplate.operations.migrate.books import Decision
from bedplate.operations.migrate.copies import with_database
from bedplate.operations.migrate.plan import Plan, pending, read_plan
from bedplate.operations.migrate.proof import Proof, stored, unfit
from bedplate.operations.migrate.receipt import OnReceipt
from bedplate.operations.migrate.rehearse import rehearse
from bedplate.operations.migrate.state import holds_rows
from bedplate.operations.migrate.status import LineStatus
from bedplate.operations.migrate.step import OnStep, Step
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.telling import Telling
from bedplate.operations.migrate.unproven import run_pending

BACKUPS = Path(".bedplate", "backups")

OnNote = Callable[[str], None]
"""Told in a sentence what is done beside the steps, and what was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator does without; both are said aloud and written into the journal."""

    without_proof: bool = False
    without_backup: bool = False


CAREFUL = Policy()


def apply(
    target: Target,
    *,
    policy: Policy = CAREFUL,
    on_step: OnStep | None = None,
    on_receipt: OnReceipt | None = None,
    on_note: OnNote | None = None,
) -> tuple[LineStatus, ...]:
    """Run every pending revision, each in a transaction of its own, if a proof allows it.

    The proof is the one that `prove` stored in the last 24 h for this very plan and schema. On the
    embedded server, and on a database without rows, it is made on the spot. A database with rows
    is backed up first, unless there is a backup younger than 24 h. Where nothing is pending, none
    of it is done.

    Safe to repeat and to run from several places at once: one rehearses and migrates, the others
    wait and find nothing left to do.

    Raises ProofMissing (also where the schema changed since the rehearsal), ProofFailed,
    RehearsalRefused, a BackupError, and what apply_unproven raises.
    """
    guarded = _Guarded(target, policy, on_note or _nobody)
    with connect(target.owner_url, autocommit=True, purpose="plan") as live:
        is_pending = bool(pending(live, target))
    if not is_pending:
        return run_pending(target, on_step=on_step, on_receipt=on_receipt)
    with _turn(target):
        proof = guarded.prepare()
        return run_pending(
            target,
            proof=proof.sha256 if proof else None,
            guard=guarded.look if proof else None,
            decisions=guarded.decisions,
            on_step=on_step,
            on_receipt=on_receipt,
        )


class _Guarded:
    """One guarded run: what it has to have before the first step, and what it did without."""

    def __init__(self, target: Target, policy: Policy, on_note: OnNote) -> None:
        self._target = target
        self._policy = policy
        self._say = on_note
        self._telling = Telling()
        self.decisions: list[Decision] = []

    def prepare(self) -> Proof | None:
        """Find or make the proof, and a backup; None where the operator does without a proof."""
        target = self._target
        with connect(target.owner_url, autocommit=True, purpose="plan") as live:
            plan = read_plan(live, target)
        # Who waited for a turn finds everything done.
        if not plan.steps:
            return None
        with connect(target.admin_url or target.owner_url, purpose="plan") as reader:
            has_rows = holds_rows(reader, target.registry.lines)
        proof = self._prove(plan, has_rows)
        if has_rows:
            self._back_up(plan)
        return proof

    def look(self, connection: Connection) -> None:
        """Refuse, under the migration lock, what is not the plan and the schema of the proof."""
        plan = read_plan(connection, self._target)
        why = unfit(stored(self._target.folder, plan), plan)
        if why is not None:
            raise why

    def _prove(self, plan: Plan, has_rows: bool) -> Proof | None:
        if self._policy.without_proof:
            self._without("proof", plan, "as asked")
            return None
        proof = stored(self._target.folder, plan)
        why = unfit(proof, plan)
        if why is None:
            return proof
        if self._target.admin_url is None and has_rows:
            raise why
        steps = len(plan.steps)
        self._say(f"Rehearsing {steps} revision{'s'[: steps > 1]} on a private copy")
        try:
            proof = rehearse(self._target, plan, self._tell_rehearsed)
        except RehearsalRefused as refusal:
            if has_rows:
                raise
            # A newcomer's empty database holds nothing that a revision could harm.
            self._without("proof", plan, f"the database holds no rows. {refusal}")
            return None
        if not proof.passed:
            first, *others = proof.reasons
            more = f" (and {len(others)} more)" if others else ""
            raise ProofFailed(
                f"The rehearsal failed, so nothing was applied: {first}{more}",
                "Correct the revision; `bedplate migrate prove` shows everything it found.",
            )
        return proof

    def _back_up(self, plan: Plan) -> None:
        if self._policy.without_backup:
            self._without("backup", plan, "as asked")
            return
        target = self._target
        folder = target.backups or target.folder / BACKUPS
        self._say(f"Making sure of a backup in {folder}")
        url = target.admin_url or target.owner_url
        backup.ensure_recent(url, folder, on_progress=self._tell_saved)

    def _tell_rehearsed(self, step: Step) -> None:
        self._telling.tell(f"Rehearsing {step.direction} {step.line.name} {step.revision}")

    def _tell_saved(self, progress: backup.Progress) -> None:
        far = f" {100 * progress.done // progress.total} %" if progress.total else ""
        self._telling.tell(f"Backing up: {progress.doing}{far}")

    def _without(self, what: str, plan: Plan, why: str) -> None:
        self._say(f"APPLYING WITHOUT A {what.upper()}: {why}")
        self.decisions.append(Decision(f"apply without {what}", {"plan": plan.hash, "why": why}))


def _turn(target: Target) -> AbstractContextManager[lock.MigrationLock]:
    """Take turns in rehearsing: of many starters at once one rehearses, and then migrates.

    On the embedded server the turn is taken in another database than the live one, whose files can
    be cloned only while nobody is connected to it.
    """
    if target.admin_url is None:
        return lock.held(target.owner_url, lock.TURN_KEY)
    return lock.held(with_database(target.admin_url, "postgres"), lock.TURN_KEY)


def _nobody(_: str) -> None:
    """Listen to nothing."""
