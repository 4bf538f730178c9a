"""`bedplate migrate prove`: rehearse what apply would run, and show how it went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import typer

from bedplate.cli.migrate.progress import told_by
from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output, table
from bedplate.operations.migrate import Proof, Step
from bedplate.operations.migrate import prove as prove_plan

BAR_CHARACTERS = 24
STATEMENT_CHARACTERS = 60
DATA = {
    "full": "all rows",
    "sampled": "a sample of the rows",
    "schema": "no rows, only the schema",
    "empty": "no rows",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Rehearse what apply would run.",
        epilog=examples("bedplate migrate prove", "bedplate migrate prove --json"),
    )(prove)


def prove(context: typer.Context, as_json: Json = False) -> int:
    """Rehearse on a private copy what apply would run: up, down and up again.

    Compares with the models, with what was before and with the first way up, and looks for writes
    of other sessions. The copy is made on the embedded server; behind DATABASE_URL on a server of
    the same major version that is started for it and deleted afterwards. The proof lies in
    .bedplate/proofs and is good for 24 hours, for this plan and this schema.

    Exits with 1 when the rehearsal found what must not be.
    """
    out = Output(as_json)

    def tell(step: Step) -> None:
        out.note(f"Rehearsing {step.direction} {step.line.name} {step.revision}")

    with (
        opened(settings_of(context), out) as project,
        out.working("Rehearsing on a private copy"),
        told_by(out),
    ):
        proof = prove_plan(project.target, on_step=tell)
    document = {"passed": proof.passed, "sha256": proof.sha256, **asdict(proof)}
    out.result(document, "\n\n".join(_paragraphs(proof)))
    return ExitCode.OK if proof.passed else ExitCode.FOUND


def _paragraphs(proof: Proof) -> Iterator[str]:
    outcome = "passed" if proof.passed else "FAILED"
    yield (
        f"The rehearsal {outcome}: {len(proof.steps)} revisions in {proof.duration_ms / 1000:.1f} s"
        f" on a copy with {DATA[proof.data]} ({proof.ground}, PostgreSQL {proof.major})."
    )
    if proof.reasons:
        yield "\n".join(f"FAULT  {reason}" for reason in proof.reasons)
    if proof.steps:
        yield _steps(proof)
        yield _locks(proof)
    if proof.blocking:
        yield _blocking(proof)
    yield "\n".join([*(f"NOTE  {note}" for note in proof.notes), _seen(proof)])


def _steps(proof: Proof) -> str:
    rows = [
        (
            step.module,
            step.revision,
            f"{step.up_ms:.0f}",
            step.rows_touched,
            ", ".join(step.rewritten) or None,
            ", ".join(step.shape_changes) or None,
        )
        for step in proof.steps
    ]
    return table([("module", "revision", "ms", "rows", "rewritten", "shape"), *rows])


def _locks(proof: Proof) -> str:
    """The lock timeline: each lock on a table that existed before, with its time as a bar."""
    held = [(step, lock) for step in proof.steps for lock in step.locks]
    if not held:
        return "No lock is taken on a table that existed before."
    longest = max(lock.held_ms for _, lock in held) or 1.0
    rows = [
        (
            step.revision,
            lock.table,
            lock.mode,
            f"{lock.held_ms:.1f}",
            "#" * max(1, round(BAR_CHARACTERS * lock.held_ms / longest)),
            " ".join(lock.statement.split())[:STATEMENT_CHARACTERS],
        )
        for step, lock in held
    ]
    return table([("revision", "table", "lock", "held ms", "", "taken by"), *rows])


def _blocking(proof: Proof) -> str:
    rows = [
        (each.table, each.mode, f"{each.held_ms:.1f}", f"{each.statements:g}")
        for each in proof.blocking
    ]
    return table([("will wait for", "lock", "at most ms", "statements, on average"), *rows])


def _seen(proof: Proof) -> str:
    return f"Other sessions were looked for in: {', '.join(proof.witnesses)}."
