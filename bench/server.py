"""The one server that all contestants share: Bedplate's embedded one, or one named by a URL."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded


@dataclass(frozen=True, slots=True)
class Server:
    """Where the contestants connect, where the tables are made, and for whom."""

    url: str
    owner_url: str
    app_role: str | None

    def version(self) -> str:
        """Return the server's version, such as 18.1."""
        with psycopg.connect(self.owner_url) as connection:
            number = connection.info.server_version
        return f"{number // 10_000}.{number % 10_000}"


@contextmanager
def serve(url: str | None, major: int) -> Generator[Server]:
    """Yield the server at the URL, or an embedded one, as shipped, purged at the end.

    A server of the caller's keeps everything but the schema `bench`, which is replaced.
    """
    if url is not None:
        yield Server(url, url, None)
        return
    with tempfile.TemporaryDirectory(prefix="bedplate-bench-") as name:
        folder = Path(name)
        attachment = embedded.attach(folder, major=major, database="bench")
        try:
            app_url = attachment.url("app")
            role = str(conninfo_to_dict(app_url)["user"])
            yield Server(app_url, attachment.url("owner"), role)
        finally:
            attachment.detach()
            embedded.purge(folder)
