"""The how-to pages do what they say: each page's examples run, in order, as one program."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import httpx
import pytest

from bedplate.testing import Clone
from tests.house.source import ROOT
from tests.house.test_documents import blocks


@pytest.fixture
def project(
    bedplate_clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Stand in a project's folder; return the names that a page may take for granted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text('modules = ["auth"]\n')
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    url = bedplate_clone.url.replace("postgresql://", "postgresql+psycopg://")
    return {"__name__": "__page__", "url": url}


def program(page: str) -> Any:
    """A page's examples, on the lines where the page has them, so that errors point there."""
    path = ROOT / "docs" / "howto" / f"{page}.md"
    place = path.relative_to(ROOT).as_posix()
    lines: list[str] = []
    for at, body in blocks("python"):
        if at.startswith(f"{place}:"):
            first = int(at.rpartition(":")[2])
            lines += [""] * (first - len(lines))
            lines += body.splitlines()
    assert lines, f"{place} has no example"
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile("\n".join(lines), path, "exec", flags=flags, dont_inherit=True)


@pytest.mark.parametrize("page", ["background-work", "query-and-write", "use-beside-sqlalchemy"])
async def test_an_async_page_runs(page: str, project: dict[str, Any]) -> None:
    running = eval(program(page), project)
    assert inspect.iscoroutine(running)
    try:
        await running
    finally:
        # A page that failed half-way has not closed its project, and its pool would keep the loop.
        await project["project"].close()


def test_the_sync_page_runs(project: dict[str, Any]) -> None:
    assert eval(program("run-sync"), project) is None


async def test_the_app_of_the_fastapi_page_serves(project: dict[str, Any]) -> None:
    eval(program("use-with-fastapi"), project)
    app = project["app"]
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        made = await client.post("/users", json={"email": "ada@example.org"})
        assert made.status_code == 201, made.text
        assert (await client.get(f"/users/{made.json()['id']}")).json() == made.json()
        browsed = await client.get("/users")
        assert browsed.json() == {"emails": ["ada@example.org"], "next": None}
        again = await client.post("/users", json={"email": "ada@example.org"})
        assert again.status_code in (409, 422), again.text
        assert set(again.json()["error"]) == {"code", "message", "next_step"}
