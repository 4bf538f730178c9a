"""The embedded server of the tests: shared, kept, and mended when it is broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.catalog import connect
from bedplate.kernel import embedded
from bedplate.kernel.settings import TestSettings
from bedplate.testing import Server
from bedplate.testing.server import server_folder


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    embedded.purge(server_folder(18, tmp_path))


def test_everybody_gets_the_same_server_and_the_last_one_stops_it(cache: Path) -> None:
    with Server.start(TestSettings(), cache) as first:
        with Server.start(TestSettings(), cache) as second:
            assert second == Server(first.admin_url, second.attachment)
            assert second.passwords == first.passwords
        assert embedded.status(server_folder(18, cache)).running
    assert not embedded.status(server_folder(18, cache)).running


def test_a_server_whose_data_is_damaged_is_made_anew(cache: Path) -> None:
    Server.start(TestSettings(), cache).close()
    data = embedded.status(server_folder(18, cache)).data_folder
    assert data is not None
    (data / "global" / "pg_control").write_bytes(b"lost power")
    with Server.start(TestSettings(), cache) as server, connect(server.admin_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_given_server_is_used_as_it_is() -> None:
    url = "postgresql://postgres:secret@localhost:5432/postgres"
    server = Server.start(TestSettings(database_url=url))
    assert (server.admin_url, server.attachment) == (url, None)
    assert server.passwords["app"] != server.passwords["owner"]
    assert "secret" not in repr(server.passwords)


def test_a_cache_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    folder = server_folder(18, tmp_path / "cache")
    assert not folder.is_relative_to(tmp_path / "cache")
