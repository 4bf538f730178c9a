"""What a command says: its result on stdout, everything else on stderr, how it ended as a code."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import Progress

from bedplate.kernel import errors
from bedplate.kernel.settings import redact


class ExitCode(enum.IntEnum):
    """How a command ended; `bedplate --help` documents the same."""

    OK = 0
    FOUND = 1
    USAGE = 2
    DATABASE = 3
    MACHINE = 4
    SCHEMA = 5
    BUG = 70
    INTERRUPTED = 130


EXIT_CODES = """\
0    done, and all is well
1    a check or verification found something
2    wrong usage, settings or modules
3    the database is unreachable, or refused the user or a statement
4    this machine refused: a port or folder is taken, PostgreSQL does not start
5    a schema cannot be migrated, or is not at the code's revision
70   a bug in Bedplate (or in a module of yours)
130  interrupted before it was done"""

# The first class that fits decides, so the narrower ones come first.
_BY_ERROR: Sequence[tuple[type[errors.BedplateError], ExitCode]] = (
    (errors.DocumentStale, ExitCode.FOUND),
    (errors.BackupDamaged, ExitCode.FOUND),
    (errors.RestoreDiffers, ExitCode.FOUND),
    (errors.BackupNotFound, ExitCode.USAGE),
    (errors.OutdatedLine, ExitCode.SCHEMA),
    (errors.SchemaNotOurs, ExitCode.SCHEMA),
    (errors.SchemaRefused, ExitCode.SCHEMA),
    (errors.MigrationFailed, ExitCode.SCHEMA),
    (errors.RehearsalRefused, ExitCode.SCHEMA),
    (errors.ProofMissing, ExitCode.SCHEMA),
    (errors.ProofFailed, ExitCode.SCHEMA),
    (errors.EmbeddedError, ExitCode.MACHINE),
    (errors.ToolsMissing, ExitCode.MACHINE),
    (errors.SettingsError, ExitCode.USAGE),
    (errors.RegistryError, ExitCode.USAGE),
    (errors.UsageError, ExitCode.USAGE),
)


def exit_code(error: errors.BedplateError) -> ExitCode:
    """Return the code to exit with; what no other code names was refused by the database."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.DATABASE)


Advance = Callable[[str, int, int | None], None]
"""Says what is being done, how much of it is, and of how much (None where nobody knows)."""


class Output:
    """Says things: one result on stdout, as text or as one JSON document; notes on stderr."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stderr = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def result(self, document: object, text: str) -> None:
        """Print the command's one result."""
        print(encode(document) if self.as_json else text, flush=True)

    def note(self, text: str) -> None:
        """Say something that is not the result."""
        self._stderr.print(text, soft_wrap=True)

    @contextmanager
    def working(self, what: str) -> Generator[None]:
        """Show that something takes a while: a spinner on a terminal, else one line."""
        if self._stderr.is_terminal:
            with self._stderr.status(what):
                yield
        else:
            self.note(f"{what} ...")
            yield

    @contextmanager
    def progress(self) -> Generator[Advance]:
        """Show how far something is: a bar on a terminal, else a line for each thing begun."""
        if not self._stderr.is_terminal:
            begun: list[str] = []

            def begin(doing: str, done: int, total: int | None) -> None:
                if begun[-1:] != [doing]:
                    begun.append(doing)
                    self.note(f"{doing} ...")

            yield begin
            return
        with Progress(console=self._stderr, transient=True) as bars:
            bar = bars.add_task("", total=None)

            def advance(doing: str, done: int, total: int | None) -> None:
                bars.update(bar, description=doing, completed=done, total=total)

            yield advance

    def fail(self, code: str, message: str, next_step: str) -> None:
        """Say why the command failed: one line, and in JSON the command's one document."""
        message, next_step = one_line(message), one_line(next_step)
        if self.as_json:
            fields = {"code": code, "message": message, "next_step": next_step}
            print(encode({"error": fields}), flush=True)
        print(f"bedplate: {message} {next_step}".rstrip(), file=sys.stderr)


def encode(document: object) -> str:
    """Return a document as indented JSON; paths and whatever else it does not know as text."""
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode()


def one_line(text: str) -> str:
    """Return a message on one line, without passwords."""
    return " ".join(redact(text).split())


def table(rows: Iterable[Sequence[object]]) -> str:
    """Align columns; plain text, so that other programs can read it too."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def fields(values: Mapping[str, object]) -> str:
    """Show names and values, indented; what is None is left out."""
    shown = [(f"  {name}", value) for name, value in values.items() if value is not None]
    return table(shown)
