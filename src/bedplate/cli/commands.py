"""The commands by their names; each is imported when it is asked for.

`bedplate url` need not wait for what `bedplate demo` is made of.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = (
    *("up", "down", "status", "url", "psql", "seed", "check", "demo"),
    *("module", "migrate", "docs", "audit", "work", "backup"),
)
"""In the order in which `--help` lists them; the module of each has its name, or is in PLACES."""

PLACES = {"demo": "demo.command", "serve-in-background": "up"}
"""Modules of commands that have another name; what is not in COMMANDS is not for people."""


class Commands(TyperGroup):
    """The group of all commands, none of which is imported before somebody names it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names that people see."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None where there is none of the name."""
        if cmd_name in COMMANDS or cmd_name in PLACES:
            return _found(cmd_name)
        return None


@functools.cache
def _found(name: str) -> Any:
    place = importlib.import_module(f"bedplate.cli.{PLACES.get(name, name)}")
    # A file with one command registers it, one with several is a group of its own.
    around = typer.Typer(rich_markup_mode=None)
    if hasattr(place, "register"):
        place.register(around)
    else:
        around.add_typer(place.app, name=name)
    return typer.main.get_group(around).commands[name]
