"""Our documents, and the fenced blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.house.source import ROOT

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@cache
def documents() -> tuple[Path, ...]:
    found = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")}
    found |= {*(ROOT / "changes").glob("*.md"), *(ROOT / "src").rglob("*.md")}
    return tuple(sorted(found))


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """Every fenced block in one of these languages, with the place where it begins."""
    for document in documents():
        for line, body in blocks_of(document, *languages):
            yield f"{document.relative_to(ROOT).as_posix()}:{line}", body


def blocks_of(document: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """A document's blocks in these languages, each with the line of its fence."""
    text = document.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found.group(2) in languages:
            indent = found.group(1)
            body = "\n".join(row.removeprefix(indent) for row in found.group(3).splitlines())
            yield text.count("\n", 0, found.start()) + 1, body
