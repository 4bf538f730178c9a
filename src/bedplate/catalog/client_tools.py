"""PostgreSQL's own programs, pg_dump and its like, of the server's major version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bedplate.catalog.options import forget_unset
from bedplate.kernel import embedded, processes
from bedplate.kernel.errors import EmbeddedError, ToolFailed, ToolsMissing
from bedplate.kernel.processes import Finished

DEBIAN_FOLDER = Path("/usr/lib/postgresql")
NEEDED = ("pg_dump", "pg_restore")
TIMEOUT_S = 24 * 3600.0
ERROR_MARKS = ("error: ", "FATAL: ", "ERROR: ")
FROM_ENVIRONMENT = frozenset(
    b"host port user password dbname passfile sslmode sslrootcert sslcert sslkey".split()
)
LOCALE = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one major version, in the folder where they lie."""

    major: int
    folder: Path

    def program(self, name: str) -> Path:
        """Return the path of one program, such as pg_waldump; raises ToolsMissing."""
        path = self.folder / name
        if not path.is_file():
            raise ToolsMissing(f"{self.folder} has no {name}.", _install(self.major))
        return path

    def dump(
        self, url: str, into: Path, options: Sequence[str] = (), *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Write a database to a new folder in pg_dump's directory format.

        `options` are pg_dump's own (`--schema-only`, `--jobs=2`, `--schema=shop`). Raises
        ToolFailed; what was written by then is the caller's to remove.
        """
        argv = ["--format=directory", f"--file={into}", *options]
        self.run("pg_dump", argv, url=url, timeout_s=timeout_s)
        forget_unset(into)

    def restore(
        self, url: str, source: Path, options: Sequence[str] = (), *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Load what `dump` wrote into the database of `url`; stop at the first error, ToolFailed.

        `options` are pg_restore's own (`--section=pre-data`, `--jobs=2`, `--single-transaction`).
        """
        argv = ["--exit-on-error", *options, str(source)]
        self.run("pg_restore", argv, url=url, timeout_s=timeout_s)

    def run(
        self,
        program: str,
        options: Sequence[str],
        *,
        url: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Finished:
        """Run a program on the database of `url`, or on none, and return what it printed.

        The password goes by the environment, which only we and root can read. Raises ToolsMissing,
        and ToolFailed where the program fails or takes longer than `timeout_s`.
        """
        argv = [str(self.program(program)), *options]
        environment = dict(LOCALE)
        if url is not None:
            conninfo, password = _without_password(url)
            argv.insert(1, f"--dbname={conninfo}")
            environment |= {"PGPASSWORD": password} if password else {}
        try:
            finished = processes.run(argv, timeout_s=timeout_s, env=environment)
        except TimeoutError:
            raise ToolFailed(
                f"{program} took longer than {timeout_s:g} s and was ended.",
                "Look for a lock it waited for, or allow it more time.",
            ) from None
        except OSError as error:
            raise ToolsMissing(
                f"{argv[0]} cannot be run: {error.strerror or error}.", _install(self.major)
            ) from None
        if finished.returncode != 0:
            raise ToolFailed(
                f"{program} failed: {_reason(finished)}", "Remove the cause, and try again."
            )
        return finished


def tools(major: int) -> Tools:
    """Find the programs of a major version: the wheel's, else Debian's; raises ToolsMissing."""
    try:
        return Tools(major, embedded.programs(major))
    except EmbeddedError:
        folder = DEBIAN_FOLDER / str(major) / "bin"
    if all((folder / name).is_file() for name in NEEDED):
        return Tools(major, folder)
    raise ToolsMissing(
        f"pg_dump and pg_restore of PostgreSQL {major} are not on this machine.", _install(major)
    )


def _install(major: int) -> str:
    return f"Install them: on Debian and Ubuntu `apt install postgresql-client-{major}`."


def _without_password(url: str) -> tuple[str, str | None]:
    """Return the address, with what psycopg's libpq takes from our environment, and the password.

    The program gets no environment of ours; and a libpq of another version knows other settings.
    """
    passfile = Path.home() / ".pgpass"
    parameters = {"passfile": str(passfile)} if passfile.is_file() else {}
    parameters |= {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val and option.keyword in FROM_ENVIRONMENT
    }
    parameters |= {
        name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None
    }
    password = parameters.pop("password", None)
    return make_conninfo(**parameters), password


def _reason(finished: Finished) -> str:
    """The first line that says why; DETAIL and CONTEXT, which quote rows, are never shown."""
    for line in finished.stderr.splitlines():
        if any(mark in line for mark in ERROR_MARKS):
            return line.strip().rstrip(".") + "."
    return f"it ended with {finished.returncode}."
