"""Options that several commands have, and how their examples are shown."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")

_NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD


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


def with_options(
    command: Callable[[typer.Context, Options], object], options: type[Options]
) -> Any:
    """Return a command whose options are the fields of a dataclass, for one with many of them."""
    hints = get_type_hints(options, include_extras=True)

    def call(context: typer.Context, **given: Any) -> object:
        return command(context, options(**given))

    parameters = [inspect.Parameter("context", _NAMED, annotation=typer.Context)]
    for field in fields(options):
        parameters.append(
            inspect.Parameter(
                field.name, _NAMED, default=field.default, annotation=hints[field.name]
            )
        )
    # Typer reads a command's options from its signature.
    told: Any = call
    told.__name__, told.__doc__ = command.__name__, command.__doc__
    told.__signature__ = inspect.Signature(parameters)
    told.__annotations__ = {each.name: each.annotation for each in parameters}
    return told


def group(text: str, *, short: str, epilog: str) -> typer.Typer:
    """Return a command of commands, which alone prints its help."""
    app = typer.Typer(rich_markup_mode=None)

    @app.callback(invoke_without_command=True, help=text, short_help=short, epilog=epilog)
    def alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            print(context.get_help())

    return app
