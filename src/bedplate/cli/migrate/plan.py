"""`bedplate migrate plan`: what apply would run, on which schema, and whether that is proven."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output, table
from bedplate.kernel.footprint import Footprint
from bedplate.operations.migrate import Plan, proof_state
from bedplate.operations.migrate import plan as plan_of

HASH_CHARACTERS = 16


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Tell what apply would run.",
        epilog=examples("bedplate migrate plan", "bedplate migrate plan --json"),
    )(plan)


def plan(context: typer.Context, as_json: Json = False) -> None:
    """Tell what apply would run: each revision, what it declares to touch, and the way back.

    The plan's hash follows every revision's file, the modules, the bindings and the database; a
    proof holds for one plan and for the schema it was rehearsed on. Changes nothing.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        found = plan_of(project.target)
        proof = proof_state(found, project.settings.folder)
    out.result(document_of(found, proof), _text(found, proof))


def document_of(plan: Plan, proof: str) -> dict[str, Any]:
    """Return the plan as JSON has it."""
    return {"hash": plan.hash, "proof": proof, **asdict(plan)}


def touches(footprint: Footprint) -> str:
    """Return a footprint in words."""
    said = [
        f"{field.name} of {', '.join(getattr(footprint, field.name))}"
        for field in fields(footprint)
        if getattr(footprint, field.name)
    ]
    return "; ".join(said) or "nothing"


def _text(plan: Plan, proof: str) -> str:
    if not plan.steps:
        return "Nothing is pending."
    rows = [
        (
            step.module,
            step.revision,
            touches(step.touches),
            "has none" if step.irreversible else "down",
            step.summary if step.transactional else f"{step.summary} (not in one transaction)",
        )
        for step in plan.steps
    ]
    steps = table([("module", "revision", "touches", "way back", "what"), *rows])
    return (
        f"{steps}\n\n"
        f"{len(plan.steps)} revisions, PostgreSQL {plan.major}, plan {plan.hash[:HASH_CHARACTERS]},"
        f" schema {plan.fingerprint[:HASH_CHARACTERS]}\n"
        f"Proof: {proof}"
    )
