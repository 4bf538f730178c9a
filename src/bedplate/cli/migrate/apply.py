"""`bedplate migrate apply`: bring every schema to the code's revision."""

from __future__ import annotations

from typing import Annotated

import typer

from bedplate.cli.migrate.progress import told_by
from bedplate.cli.migrate.receipts import table_of as receipts_table
from bedplate.cli.migrate.status import table_of as lines_table
from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output
from bedplate.operations.migrate import LineStatus, Policy, Receipt, Step
from bedplate.operations.migrate import apply as apply_lines

WithoutProof = Annotated[
    bool,
    typer.Option(
        "--without-proof", help="Apply what no rehearsal proves. Written into the journal."
    ),
]
NoBackup = Annotated[
    bool, typer.Option("--no-backup", help="Do without a backup. Written into the journal.")
]
CAREFUL = Policy()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Run every pending revision.",
        epilog=examples(
            "bedplate migrate apply",
            "bedplate migrate apply --json",
            "bedplate migrate prove && bedplate migrate apply",
            "bedplate migrate apply --without-proof --no-backup",
        ),
    )(apply)


def apply(
    context: typer.Context,
    without_proof: WithoutProof = False,
    no_backup: NoBackup = False,
    as_json: Json = False,
) -> None:
    """Run every pending revision, each in a transaction of its own; repeating it is safe.

    A rehearsal of the last 24 hours has to prove it: see `bedplate migrate prove`. On the embedded
    server, and on a database without rows, it is held on the spot. A database with rows is backed
    up first, unless there is a backup younger than 24 hours.

    Each revision's receipt says what it touched of what existed before; --json prints the list of
    them. One that touches more than its file declares is rolled back.

    Runs as the owner: DATABASE_OWNER_URL where it is set.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        policy = Policy(without_proof=without_proof, without_backup=no_backup)
        receipts, lines = migrated(project, out, policy)
    said = receipts_table(receipts) if receipts else "Nothing was pending."
    out.result([each.as_dict() for each in receipts], f"{said}\n\n{lines_table(lines)}")


def migrated(
    project: Opened, out: Output, policy: Policy = CAREFUL
) -> tuple[list[Receipt], tuple[LineStatus, ...]]:
    """Apply every line, telling each step; return the receipts and where the lines stand now."""
    receipts: list[Receipt] = []
    caveats: set[str] = set()

    def tell(step: Step) -> None:
        out.note(f"Migrating {step.line.name} {step.revision}")

    def keep(receipt: Receipt) -> None:
        receipts.append(receipt)
        for caveat in receipt.caveats:
            if caveat not in caveats:
                out.note(f"WARNING: {caveat}")
        caveats.update(receipt.caveats)

    with out.working("Bringing schemas to their newest revision"), told_by(out):
        lines = apply_lines(
            project.target, policy=policy, on_step=tell, on_receipt=keep, on_note=out.note
        )
    return receipts, lines
