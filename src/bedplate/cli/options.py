"""Options that several commands have, and how their examples are shown."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class Invocation:
    """What stands before the command: `bedplate --folder shop up`."""

    folder: Path | None = None
    traceback: bool = False


class Role(enum.StrEnum):
    """Whose URL is wanted."""

    APP = "app"
    OWNER = "owner"
    READER = "reader"
    ADMIN = "admin"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
RoleOption = Annotated[Role, typer.Option("--role", help="Whose address to use.")]


def invocation(context: typer.Context) -> Invocation:
    """Return what was given before the command."""
    found = context.find_object(Invocation)
    return found or Invocation()


def examples(*lines: str) -> str:
    """Return the examples of a command's help, kept line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def group(text: str, *, short: str, epilog: str) -> typer.Typer:
    """Return a command of commands, which alone prints its help."""
    app = typer.Typer(rich_markup_mode=None)

    @app.callback(invoke_without_command=True, help=text, short_help=short, epilog=epilog)
    def alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            print(context.get_help())

    return app
