"""Where the models and a database disagree, as far as a model can say."""

from __future__ import annotations

from dataclasses import replace

from bedplate.catalog import Change, Snapshot, difference

# What a model says of a table. The lines own more than that: functions, triggers, grants, policies,
# views, partitions, tables without a model, and comments where the model has none.
RULES = (" constraint", " key")
PARTS = ("column", "index")


def disagreements(models: Snapshot, database: Snapshot) -> tuple[str, ...]:
    """Return a sentence for each thing that the database does not have as the models say it.

    The database may hold more schemas; only those of the models are compared.
    """
    names = {schema.name for schema in models.schemas}
    ours = replace(database, schemas=tuple(s for s in database.schemas if s.name in names))
    there = {table.full_name for table in ours.tables}
    return tuple(_sentence(change) for change in difference(models, ours) if _counts(change, there))


def _counts(change: Change, there: set[str]) -> bool:
    is_part = change.kind in PARTS or change.kind.endswith(RULES)
    match change.action:
        case "added":
            return is_part
        case "changed":
            return is_part or change.kind in ("enum", "comment")
        case "removed":
            # A model's table may be made as a partitioned one.
            is_table = change.kind == "table" and change.name not in there
            return is_part or is_table or change.kind in ("enum", "comment")


def _sentence(change: Change) -> str:
    what = f"{change.kind} {change.name}"
    match change.action:
        case "added":
            return f"The line makes {what}, which the models do not have."
        case "removed":
            return f"The models have {what}, which no revision makes."
        case "changed":
            if "\n" in f"{change.before}{change.after}":
                return f"The models and the line make {what} differently."
            return f"The models say {what} is {change.before}; the line makes it {change.after}."
