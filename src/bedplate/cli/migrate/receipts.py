"""`bedplate migrate receipts`: what every revision touched, and whether the record is whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output, encode, table
from bedplate.kernel.errors import UsageError
from bedplate.operations.migrate import Chain, Receipt, verified

Verify = Annotated[
    bool, typer.Option("--verify", help="Exit with 1 unless every hash of the chain is right.")
]
Export = Annotated[
    Path | None, typer.Option("--export", help="Write the chain to this file too, as JSON.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Tell what each revision touched.",
        epilog=examples(
            "bedplate migrate receipts",
            "bedplate migrate receipts --verify --json",
            "bedplate migrate receipts --export receipts.json",
        ),
    )(receipts)


def receipts(
    context: typer.Context,
    verify: Verify = False,
    export: Export = None,
    as_json: Json = False,
) -> int:
    """Tell what each revision touched of what existed before it, oldest first.

    The receipts are append-only and chained: each holds the hash of the one before it. An export
    kept elsewhere shows later whether they were written anew.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        chain = verified(project.target)
    entries = [asdict(entry) for entry in chain.entries]
    document = {"whole": not chain.faults, "faults": list(chain.faults), "receipts": entries}
    if export is not None:
        _write(export, encode(document))
        out.note(f"Wrote {len(entries)} receipts to {export}")
    out.result(document, _text(chain))
    return ExitCode.FOUND if verify and chain.faults else ExitCode.OK


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", "Name another.") from None


def table_of(receipts: Iterable[Receipt]) -> str:
    """Return receipts as a table."""
    return _table([receipt.as_dict() for receipt in receipts])


def _text(chain: Chain) -> str:
    if not chain.entries:
        return "No revision has a receipt yet."
    said = [_table([{**each.document, "number": each.number} for each in chain.entries])]
    said += [f"FAULT  {fault}" for fault in chain.faults]
    said.append(
        f"{len(chain.entries)} receipts, the chain is {'BROKEN' if chain.faults else 'whole'}."
    )
    return "\n".join(said)


def _table(documents: Sequence[dict[str, Any]]) -> str:
    head = ("module", "revision", "way", "rows", "rewritten", "shape", "longest lock", "watched")
    return table([head, *map(_row, documents)])


def _row(document: dict[str, Any]) -> tuple[object, ...]:
    locks = sorted(document["locks"], key=lambda lock: lock["held_ms"])
    longest = f"{locks[-1]['table']} {locks[-1]['held_ms']:.0f} ms" if locks else "-"
    return (
        document["module"],
        document["revision"],
        document.get("direction", "up"),
        document["rows_touched"],
        ", ".join(document["rewritten"]) or "-",
        ", ".join(document["shape_changes"]) or "-",
        longest,
        f"{document['tables_watched']} tables, {document['receipt_ms']:.0f} ms",
    )
