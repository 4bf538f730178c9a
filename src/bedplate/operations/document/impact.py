"""What a module means for whoever else has tables in the database, and how to be rid of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from bedplate.catalog import Schema
from bedplate.kernel.lines import KERNEL_LINE

ENDINGS = {
    "NO ACTION": "cannot be deleted",
    "RESTRICT": "cannot be deleted",
    "CASCADE": "takes what refers to it along",
    "SET NULL": "is no longer referred to",
    "SET DEFAULT": "is referred to no longer",
}


def impact(name: str, schema: Schema) -> Iterator[str]:
    """Yield the section's paragraphs, from the schema's foreign keys and objects alone.

    A foreign key is all that a module ever adds to a table that is not its own: PostgreSQL's two
    triggers on it, and while it is made a lock that lets readers through and lets writers wait.
    """
    outward = _outward(schema)
    if outward:
        yield (
            "These tables of other schemas are referred to. Making a foreign key locks such a table"
            " against writers for a moment (`SHARE ROW EXCLUSIVE`; given way after 2 s and tried"
            " again); nothing else of it changes, no row and no column."
        )
        yield "\n".join(
            f"- `{table}`, by {', '.join(f'`{rule}`' for rule in sorted(rules))}: a row that is"
            f" referred to {' or '.join(sorted(endings))}."
            for table, (rules, endings) in sorted(outward.items())
        )
    else:
        yield "No table of another schema is referred to: nothing outside notices it."
    counts = (
        (len(schema.tables), "tables"),
        (len(schema.functions), "functions"),
        (len(schema.enums), "enums"),
    )
    told = ", ".join(f"{number} {kind}" for number, kind in counts if number)
    yield (
        f"The way back drops what is its own ({told}) and the schema, with all rows in them, and"
        " leaves the rest as it was. As a rehearsed step, or as plain SQL for another tool:"
    )
    yield f"```sh\nbedplate migrate undo {name} --all\nbedplate migrate sql {name} --down\n```"
    if name == KERNEL_LINE.name:
        yield "Every module comes first: the kernel's line goes last."


def _outward(schema: Schema) -> dict[str, tuple[set[str], set[str]]]:
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for table in schema.tables:
        for rule in table.foreign_keys:
            if rule.references is None or rule.references.schema == schema.name:
                continue
            rules, endings = found[f"{rule.references.schema}.{rule.references.table}"]
            rules.add(f"{table.name}.{', '.join(rule.columns)}")
            ending = next((e for e in ENDINGS if f"ON DELETE {e}" in rule.definition), "NO ACTION")
            endings.add(ENDINGS[ending])
    return dict(found)
