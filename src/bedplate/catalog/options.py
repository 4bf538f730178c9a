"""The options that somebody set on a column, without the one that PostgreSQL notes there itself.

Its releases of November 2026 (15.20 and its like) write `pg_attver` into pg_attribute.attoptions,
the moment at which a column got its type. Two databases that were made alike differ in nothing
else; and programs of before dump it as if it were an option, which no server of before takes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SET_BY_NOBODY = "pg_attver="
CONTENTS = "toc.dat"
NOTHING_TO_RESET = b" RESET (n_distinct)"
"""Does nothing to a column on which nothing is set."""

_ALONE = re.compile(rb" SET \(pg_attver=\d{2,}\)(?=;\n)")
_BESIDE_OTHERS = re.compile(rb"(?<= SET \()pg_attver=\d+, |(?<=[^(]), pg_attver=\d+(?=[,)])")


def options_set(attoptions: str) -> str:
    """Return the SQL of a column's options, but for what nobody set; NULL where none are left."""
    return (
        f"CASE WHEN {attoptions} IS NULL OR cardinality({attoptions}) = 1"
        f" AND pg_catalog.starts_with({attoptions}[1], '{SET_BY_NOBODY}') THEN NULL"
        f" ELSE ARRAY(SELECT o FROM unnest({attoptions}) AS o"
        f" WHERE NOT pg_catalog.starts_with(o, '{SET_BY_NOBODY}')) END"
    )


def forget_unset(dump: Path) -> None:
    """Take what nobody set out of a dump in directory format.

    Its table of contents holds SQL between lengths, so each statement keeps its own.
    """
    place = dump / CONTENTS
    contents = place.read_bytes()
    cleaned = _ALONE.sub(lambda found: NOTHING_TO_RESET.ljust(len(found[0])), contents)
    cleaned = _BESIDE_OTHERS.sub(lambda found: b" " * len(found[0]), cleaned)
    if cleaned != contents:
        with place.open("r+b") as file:
            file.write(cleaned)
            file.flush()
            os.fsync(file.fileno())
