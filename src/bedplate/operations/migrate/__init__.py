"""Bring every module's schema to its newest revision, or take one back."""

from __future__ import annotations

from bedplate.operations.migrate.apply import OnNote, Policy, apply
from bedplate.operations.migrate.baseline import Taken, baseline
from bedplate.operations.migrate.books import Chain, verified
from bedplate.operations.migrate.diff import Diff, diff, remember
from bedplate.operations.migrate.draft import Draft, Question, Wish, make
from bedplate.operations.migrate.history import Happening, history
from bedplate.operations.migrate.lint import Finding, Linter, squawk_program
from bedplate.operations.migrate.losses import Loss, losses
from bedplate.operations.migrate.plan import Plan, PlannedStep, plan
from bedplate.operations.migrate.proof import Blocking, Proof, Rehearsed, proof_state
from bedplate.operations.migrate.receipt import HeldLock, Kept, OnReceipt, Receipt
from bedplate.operations.migrate.rehearse import prove
from bedplate.operations.migrate.repair import Repair, repairs
from bedplate.operations.migrate.reset import mark, reset
from bedplate.operations.migrate.sql import Part, as_sql
from bedplate.operations.migrate.squash import Squashed, squash
from bedplate.operations.migrate.status import LineStatus, status
from bedplate.operations.migrate.step import OnStep, Step
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.undo import Undone, undo
from bedplate.operations.migrate.unproven import apply_unproven

__all__ = [
    "Blocking",
    "Chain",
    "Diff",
    "Draft",
    "Finding",
    "Happening",
    "HeldLock",
    "Kept",
    "LineStatus",
    "Linter",
    "Loss",
    "OnNote",
    "OnReceipt",
    "OnStep",
    "Part",
    "Plan",
    "PlannedStep",
    "Policy",
    "Proof",
    "Question",
    "Receipt",
    "Rehearsed",
    "Repair",
    "Squashed",
    "Step",
    "Taken",
    "Target",
    "Undone",
    "Wish",
    "apply",
    "apply_unproven",
    "as_sql",
    "baseline",
    "diff",
    "history",
    "losses",
    "make",
    "mark",
    "plan",
    "proof_state",
    "prove",
    "remember",
    "repairs",
    "reset",
    "squash",
    "squawk_program",
    "status",
    "undo",
    "verified",
]
