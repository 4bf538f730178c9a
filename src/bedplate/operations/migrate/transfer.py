"""Carry a database's schema, and its rows, into another one, by PostgreSQL's own dump."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded, processes
from bedplate.kernel.errors import RehearsalRefused

LIMIT_S = 1_800.0
VARIABLES: Mapping[str, str] = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "options": "PGOPTIONS",
}


def carry(
    source_url: str,
    into_url: str,
    *,
    major: int,
    schema_only: bool = False,
    without: Sequence[str] = (),
    sections: Sequence[str] = (),
) -> None:
    """Dump one database and restore it into another, which the second URL's role may write.

    `without` names schemas to leave out, `sections` the parts to restore (all by default). Owners
    and privileges go along, so the roles must exist there. Raises RehearsalRefused with the first
    thing that PostgreSQL's programs complain of.
    """
    with tempfile.TemporaryDirectory(prefix="bedplate-copy-") as folder:
        archive = str(Path(folder, "archive"))
        dump = ["pg_dump", "--format=custom", "--compress=0", f"--file={archive}"]
        dump += ["--schema-only"] if schema_only else []
        dump += [f"--exclude-schema={_pattern(name)}" for name in without]
        _run(dump, source_url, major)
        restore = ["pg_restore", "--exit-on-error", "--single-transaction", "--dbname="]
        restore += [f"--section={name}" for name in sections]
        _run([*restore, archive], into_url, major)


def _run(command: Sequence[str], url: str, major: int) -> None:
    name, *arguments = command
    parts = conninfo_to_dict(url)
    # In the environment, not the arguments: every user of the machine can list those.
    environment = {VARIABLES[key]: str(parts[key]) for key in VARIABLES if parts.get(key)}
    arguments = [
        f"--dbname={parts['dbname']}" if argument == "--dbname=" else argument
        for argument in arguments
    ]
    program = str(embedded.programs(major) / name)
    try:
        finished = processes.run(
            [program, *arguments],
            timeout_s=LIMIT_S,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **environment},
        )
    except TimeoutError:
        raise RehearsalRefused(
            f"The database cannot be copied: {name} ran longer than {LIMIT_S:g} s.",
            "Rehearse on a restored backup of it.",
        ) from None
    if finished.returncode != 0:
        said = next((line for line in finished.stderr.splitlines() if "error:" in line), "")
        raise RehearsalRefused(
            f"The database cannot be copied: {said or f'{name} failed'}.",
            "Let the owner's role read every table (GRANT pg_read_all_data), or rehearse on a"
            " restored backup.",
        )


def _pattern(schema: str) -> str:
    """Quote a name, which pg_dump would otherwise fold and read as a pattern."""
    return '"' + schema.replace('"', '""') + '"'
