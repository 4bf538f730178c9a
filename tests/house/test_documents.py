"""What the documents show exists: links lead somewhere, examples compile, names can be imported."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from bedplate.cli.main import app
from tests.house.documents import FENCE, blocks, documents
from tests.house.source import ROOT

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)")


def commands() -> Iterator[tuple[str, str]]:
    """Every `bedplate …` that a document tells a reader to type, in a block or within a line."""
    for place, body in blocks("", "bash", "console", "sh"):
        for line in body.splitlines():
            for part in line.partition("#")[0].split("&&"):
                typed = part.strip().removeprefix("$ ")
                if typed.startswith("bedplate "):
                    yield place, typed
    for document in documents():
        text = FENCE.sub("", document.read_text(encoding="utf-8"))
        for typed in re.findall(r"`(bedplate [^`]+)`", text):
            yield document.relative_to(ROOT).as_posix(), " ".join(typed.split())


EXAMPLES = [pytest.param(place, body, id=place) for place, body in blocks("python")]


def test_every_relative_link_leads_somewhere() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in documents()
        for link in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
        if not (document.parent / link).exists()
    ]
    assert not broken, broken


@pytest.mark.parametrize(("place", "body"), EXAMPLES)
def test_an_example_compiles_and_imports_what_exists(place: str, body: str) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(body, place, "exec", flags=flags)
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bedplate":
            module = importlib.import_module(node.module or "")
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{place} imports {missing} from {node.module}"


@pytest.mark.parametrize(("place", "typed"), sorted(set(commands())))
def test_a_command_that_a_document_shows_exists(place: str, typed: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in shlex.split(typed)[1:]:
        name = word.partition("=")[0]
        if word.startswith("-"):
            options = {option for part in command.params for option in part.opts}
            assert name in options | {"--help", "-h"}, f"{place}: {typed}: no option {name}"
        elif "list_commands" in dir(command):
            command = command.get_command(typer.Context(command), word)
            assert command is not None, f"{place}: {typed}: no command {word}"
