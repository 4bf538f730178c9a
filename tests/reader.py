"""Documents do what they say: a document's examples run, in order, as one program."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

from tests.house.documents import blocks_of
from tests.house.source import ROOT


class Reader:
    """Somebody who follows documents, standing in the folder of a project with this database."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    def follow(self, document: str, settings: str) -> dict[str, Any]:
        """Run the examples under such a bedplate.toml; return the names they made."""
        names = self._granted(settings)
        assert eval(program(document), names) is None, f"{document} awaits something"
        return names

    async def follow_async(self, document: str, settings: str) -> None:
        """Run examples that await, and close the project they opened."""
        names = self._granted(settings)
        running = eval(program(document), names)
        assert inspect.iscoroutine(running), f"{document} awaits nothing"
        try:
            await running
        finally:
            # One that failed half-way has not closed its project, whose pool would keep the loop.
            await names["project"].close()

    def _granted(self, settings: str) -> dict[str, Any]:
        (self._folder / "bedplate.toml").write_text(settings)
        url = self._url.replace("postgresql://", "postgresql+psycopg://")
        return {"__name__": "__page__", "url": url}


def program(document: str) -> Any:
    """A document's examples, on the lines where it has them, so that errors point there."""
    path = ROOT / document
    lines: list[str] = []
    for first, body in blocks_of(path, "python"):
        lines += [""] * (first - len(lines))
        lines += body.splitlines()
    assert lines, f"{document} has no example"
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile("\n".join(lines), path, "exec", flags=flags, dont_inherit=True)
