"""The options that somebody set on a column, as a part of a query."""

from __future__ import annotations

SET_BY_NOBODY = "pg_attver="


def options_set(attoptions: str) -> str:
    """Return the SQL of a column's options without those that nobody set; NULL where none are left.

    PostgreSQL's releases of November 2026 note in pg_attribute.attoptions when a column got its
    type: two databases that were made alike differ in nothing else.
    """
    return (
        f"CASE WHEN {attoptions} IS NULL OR cardinality({attoptions}) = 1"
        f" AND pg_catalog.starts_with({attoptions}[1], '{SET_BY_NOBODY}') THEN NULL"
        f" ELSE ARRAY(SELECT o FROM unnest({attoptions}) AS o"
        f" WHERE NOT pg_catalog.starts_with(o, '{SET_BY_NOBODY}')) END"
    )
