"""Carry a database's schema, and its rows, into another one, by PostgreSQL's own dump."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from bedplate.catalog import tools
from bedplate.kernel.errors import RehearsalRefused, ToolFailed, ToolsMissing

LIMIT_S = 1_800.0


def carry(
    source_url: str,
    into_url: str,
    *,
    major: int,
    schema_only: bool = False,
    without: Sequence[str] = (),
    rows: Callable[[], None] | None = None,
) -> None:
    """Dump one database and restore it into another, which the second URL's role may write.

    `without` names schemas to leave out. `rows`, for a dump of the schema only, loads rows once
    the tables are there, and before their keys, rules and triggers are. Owners and privileges go
    along, so the roles must exist there. Raises RehearsalRefused with the first thing that
    PostgreSQL's programs complain of.
    """
    options = [f"--exclude-schema={_pattern(name)}" for name in without]
    options += ["--schema-only"] if schema_only else []
    try:
        found = tools(major)
        with tempfile.TemporaryDirectory(prefix="bedplate-copy-") as folder:
            archive = Path(folder, "dump")
            found.dump(source_url, archive, ["--compress=0", *options], timeout_s=LIMIT_S)
            parts = ["--section=pre-data"], ["--section=post-data"]
            for part in parts if rows else ([],):
                chosen = ["--single-transaction", *part]
                found.restore(into_url, archive, chosen, timeout_s=LIMIT_S)
                if rows is not None and part == parts[0]:
                    rows()
    except ToolsMissing as error:
        raise RehearsalRefused(
            f"The database cannot be copied. {error}",
            "Or rehearse where those programs are installed.",
        ) from None
    except ToolFailed as error:
        raise _refused(str(error)) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise _refused(f"{error.diag.message_primary}.") from None


def _refused(why: str) -> RehearsalRefused:
    return RehearsalRefused(
        f"The database cannot be copied. {why}",
        "The owner's role must be able to read everything: GRANT pg_read_all_data TO it.",
    )


def _pattern(schema: str) -> str:
    """Quote a name, which pg_dump would otherwise fold and read as a pattern."""
    return '"' + schema.replace('"', '""') + '"'
