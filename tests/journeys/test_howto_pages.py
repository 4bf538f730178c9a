"""The how-to pages do what they say: each page's examples run, in order, as one program."""

from __future__ import annotations

import httpx
import pytest

from tests.reader import Reader

SETTINGS = 'modules = ["auth"]'


@pytest.mark.parametrize(
    "page", ["audit", "background-work", "query-and-write", "use-beside-sqlalchemy"]
)
async def test_an_async_page_runs(page: str, reader: Reader) -> None:
    await reader.follow_async(f"docs/howto/{page}.md", SETTINGS)


def test_the_sync_page_runs(reader: Reader) -> None:
    reader.follow("docs/howto/run-sync.md", SETTINGS)


async def test_the_app_of_the_fastapi_page_serves(reader: Reader) -> None:
    app = reader.follow("docs/howto/use-with-fastapi.md", SETTINGS)["app"]
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
