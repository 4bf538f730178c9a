"""The proof: how the rehearsal of one plan on one schema went, kept as a file of the project's."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from bedplate.kernel import clock
from bedplate.kernel.errors import ProofMissing
from bedplate.operations.migrate.copies import DataKind, GroundKind
from bedplate.operations.migrate.plan import Plan
from bedplate.operations.migrate.receipt import HeldLock

FOLDER = Path(".bedplate", "proofs")
VALID_FOR = timedelta(hours=24)
NAME_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One revision as it went: what its receipt says, and how long it took (ms)."""

    module: str
    revision: str
    rows_touched: int
    rewritten: tuple[str, ...]
    shape_changes: tuple[str, ...]
    locks: tuple[HeldLock, ...]
    up_ms: float
    irreversible: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocking:
    """What the locks of one revision on one table will hold up, by the table's live traffic.

    `statements` is how many of the application's would wait, on average, for at most `held_ms`.
    """

    module: str
    revision: str
    table: str
    mode: str
    held_ms: float
    statements: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The outcome of a rehearsal; `reasons` are empty exactly where the plan may be applied.

    `plan` and `fingerprint` are what it holds for. `notes` are what else was seen.
    """

    plan: str
    fingerprint: str
    major: int
    ground: GroundKind
    data: DataKind
    made_at: datetime
    duration_ms: float
    steps: tuple[Rehearsed, ...]
    blocking: tuple[Blocking, ...]
    witnesses: tuple[str, ...]
    notes: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the plan may be applied."""
        return not self.reasons

    @property
    def sha256(self) -> str:
        """The hash of all of it, in hexadecimal digits; receipts carry it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class _Stored(msgspec.Struct):
    proof: Proof
    sha256: str


def store(proof: Proof, folder: Path) -> Path:
    """Write the proof beside the project's others, in place of an earlier one of the same plan."""
    place = _place(folder, proof.plan)
    place.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(_Stored(proof, proof.sha256)), indent=2)
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    draft.write_bytes(text + b"\n")
    draft.rename(place)
    return place


def stored(folder: Path, plan: Plan) -> Proof | None:
    """Return the proof of this plan, fitting or not; None where there is none.

    Raises ProofMissing where the file was changed since it was written.
    """
    place = _place(folder, plan.hash)
    try:
        found = msgspec.json.decode(place.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise ProofMissing(f"{place} is no proof.") from None
    if found.proof.sha256 != found.sha256:
        raise ProofMissing(f"{place} is not as it was written.")
    return found.proof


def unfit(proof: Proof | None, plan: Plan) -> ProofMissing | None:
    """Tell why the proof does not hold for this plan now; None where it does."""
    what = ", ".join(f"{step.module} {step.revision}" for step in plan.steps)
    if proof is None:
        return ProofMissing(f"Nothing proves yet that this may be applied: {what}.")
    if proof.plan != plan.hash:
        return ProofMissing("The proof is that of another plan.")
    if proof.fingerprint != plan.fingerprint:
        return ProofMissing("The schema of the database has changed since the rehearsal.")
    if not proof.passed:
        return ProofMissing(
            f"The rehearsal of this plan failed: {proof.reasons[0]}",
            "Correct the revision; `bedplate migrate prove` shows everything it found.",
        )
    if clock.now() - proof.made_at > VALID_FOR:
        hours = VALID_FOR.total_seconds() / 3600
        return ProofMissing(f"The rehearsal of this plan is more than {hours:g} hours old.")
    return None


def _place(folder: Path, plan_hash: str) -> Path:
    return folder / FOLDER / f"{plan_hash[:NAME_CHARACTERS]}.json"


def proof_state(plan: Plan, folder: Path) -> str:
    """Tell in a sentence whether a stored proof lets this plan be applied."""
    try:
        proof = stored(folder, plan)
        why = unfit(proof, plan)
    except ProofMissing as error:
        why, proof = error, None
    if why is not None or proof is None:
        return str(why)
    return f"rehearsed at {proof.made_at:%Y-%m-%d %H:%M} UTC, on this schema."
