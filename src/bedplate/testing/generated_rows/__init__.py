"""Rows for every table of a database, from its live catalog alone.

`generate_rows` asks no model: it reads types, keys and rules from the database and lets the server
itself choose, among likely values, those that its rules let in.
"""

from __future__ import annotations

from bedplate.testing.generated_rows.generate import (
    ROWS_PER_TABLE,
    GeneratedRows,
    Shapes,
    generate_rows,
)

__all__ = ["ROWS_PER_TABLE", "GeneratedRows", "Shapes", "generate_rows"]
