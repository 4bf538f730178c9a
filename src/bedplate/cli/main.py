"""The entry point: assembles the commands, and turns every error into a line and an exit code."""

from __future__ import annotations

import gc
import importlib.metadata
import logging
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bedplate.cli.commands import Commands
from bedplate.cli.options import Invocation, examples
from bedplate.cli.output import EXIT_CODES, ExitCode, Output, exit_code
from bedplate.kernel.errors import BedplateError

EPILOG = (
    examples("bedplate up", "bedplate --folder shop status --json", "bedplate up --help")
    + "\n\n\b\nExit codes:\n"
    + "\n".join(f"  {line}" for line in EXIT_CODES.splitlines())
)

app = typer.Typer(
    name="bedplate",
    cls=Commands,
    epilog=EPILOG,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def bedplate(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(help="The project's folder. [default: the nearest bedplate.toml upward]"),
    ] = None,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error comes from.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The whole data layer of a SaaS back end on PostgreSQL.

    Results go to stdout (--json makes them one document), progress and logs to stderr. Without
    DATABASE_URL a command starts or attaches to the project's own server, and stops what it
    started.
    """
    context.obj = Invocation(folder, show_traceback)
    if version:
        print(importlib.metadata.version("bedplate"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line and exit with a documented code."""
    logging.basicConfig(level=logging.WARNING, format="bedplate: %(message)s", stream=sys.stderr)
    # What Ctrl-C does, the signals of service managers and closed terminals do too: leave in
    # order, so that a server started here is not left behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    code = run(sys.argv[1:])
    # Python would look through all that was imported for cycles before it ends, which takes a
    # fifth of the time of a short command and frees nothing that the end does not.
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    out = Output(as_json="--json" in own)
    try:
        # A command that has no code to tell returns None.
        return app(arguments, prog_name="bedplate", standalone_mode=False) or ExitCode.OK
    except typer.TyperException as error:
        # The parser's own: an unknown option, a missing argument.
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "bedplate"
        message = error.format_message().rstrip(".")
        out.fail("usage", f"{message}.", f"See `{path} --help`.")
        return ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        out.note("Interrupted.")
        return ExitCode.INTERRUPTED
    except Exception as error:
        if "--traceback" in own:
            traceback.print_exception(error)
        return _failed(error, out)


def _failed(error: Exception, out: Output) -> ExitCode:
    if isinstance(error, BedplateError):
        out.fail(error.code, error.message, error.next_step)
        return exit_code(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        out.fail("machine", f"{where}{error.strerror or type(error).__name__}.", "")
        return ExitCode.MACHINE
    hint = "Run it again as `bedplate --traceback ...` and report what it shows."
    out.fail("bug", f"This should not happen: {type(error).__name__}: {error}.", hint)
    return ExitCode.BUG


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
