"""psql itself, for scripts that a host would run with it."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded, processes


def run_script(url: str, script: str, folder: Path) -> None:
    """Run a script as a host would, stopping at the first error."""
    file = folder / "script.sql"
    file.write_text(script, encoding="utf-8")
    parts = conninfo_to_dict(url)
    with psycopg.connect(url) as connection:
        major = connection.info.server_version // 10_000
    program = embedded.programs(18 if major > 16 else 16) / "psql"
    environment = {"PGPASSWORD": str(parts["password"]), "PATH": "/usr/bin:/bin"}
    arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file)]
    place = [f"--{name}={parts[key]}" for name, key in (("host", "host"), ("port", "port"))]
    place += [f"--username={parts['user']}", f"--dbname={parts['dbname']}"]
    done = processes.run([str(program), *place, *arguments], timeout_s=60, env=environment)
    assert done.returncode == 0, done.stderr
