"""`bedplate migrate plan`: what apply would run, on which schema, and whether that is proven."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

import typer

from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output, table
from bedplate.kernel.footprint import Footprint
from bedplate.operations.migrate import Finding, Linter, Plan, proof_state
from bedplate.operations.migrate import plan as plan_of

HASH_CHARACTERS = 16


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Tell what apply would run.",
        epilog=examples("bedplate migrate plan", "bedplate migrate plan --json"),
    )(plan)


def plan(context: typer.Context, as_json: Json = False) -> None:
    """Tell what apply would run: each revision, what it declares to touch, and its hazards.

    The plan's hash follows every revision's file, the modules, the bindings and the database; a
    proof holds for one plan and for the schema it was rehearsed on. Changes nothing.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        found = plan_of(project.target)
        proof = proof_state(found, project.settings.folder)
        hazards = tuple(_hazards(found, project))
    document: dict[str, Any] = {"hash": found.hash, "proof": proof, **asdict(found)}
    document["hazards"] = [asdict(each) for each in hazards]
    out.result(document, _text(found, proof, hazards))


def _hazards(plan: Plan, project: Opened) -> Iterator[Finding]:
    linter = Linter(registry=project.registry, bindings=project.settings.bind)
    for line in project.registry.lines:
        revisions = [step.revision for step in plan.steps if step.module == line.name]
        if revisions:
            yield from linter.together(line, revisions)


def touches(footprint: Footprint) -> str:
    """Return a footprint in words."""
    said = [
        f"{field.name} of {', '.join(getattr(footprint, field.name))}"
        for field in fields(footprint)
        if getattr(footprint, field.name)
    ]
    return "; ".join(said) or "nothing"


def _text(plan: Plan, proof: str, hazards: Sequence[Finding]) -> str:
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
    lint = [
        f"{each.severity.upper()}  {each.revision}, {each.rule}: {each.reason}" for each in hazards
    ]
    if lint:
        steps = "\n".join([steps, "", *lint, "The safe recipes: bedplate migrate lint"])
    return (
        f"{steps}\n\n"
        f"{len(plan.steps)} revisions, PostgreSQL {plan.major}, plan {plan.hash[:HASH_CHARACTERS]},"
        f" schema {plan.fingerprint[:HASH_CHARACTERS]}\n"
        f"Proof: {proof}"
    )
