"""Who starts the server, who shares it, who stops it."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import embedded
from bedplate.kernel.embedded import home, server
from bedplate.kernel.errors import EmbeddedError
from tests.kernel.embedded.elsewhere import (
    area,
    attach,
    elsewhere,
    pid_of,
    stays_attached,
    told,
    words,
    write,
)


def test_the_second_to_attach_finds_what_the_first_made(project: Path) -> None:
    first = attach(project)
    second = attach(project)
    assert (first.started_server, first.created_database) == (True, False)
    assert (second.started_server, second.created_database) == (False, False)
    status = embedded.status(project)
    assert (status.running, status.major, status.database) == (True, 18, "my_shop")
    assert status.attached == (os.getpid(), os.getpid())
    first.detach()
    first.detach()
    assert second.alive()
    second.detach()
    assert not second.alive()
    assert embedded.status(project).attached == ()


def test_the_server_is_as_it_should_be(project: Path) -> None:
    attachment = attach(project)
    with psycopg.connect(attachment.url("admin")) as connection:
        expected = {
            "listen_addresses": "127.0.0.1",
            "password_encryption": "scram-sha-256",
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
        }
        for name, value in expected.items():
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row == (value,), name
        query = "SELECT DISTINCT auth_method FROM pg_hba_file_rules"
        assert connection.execute(query).fetchall() == [("scram-sha-256",)]
    assert os.getsid(pid_of(project)) != os.getsid(0)


def test_users_keep_fsync(made: Path) -> None:
    attachment = embedded.attach(made)
    with psycopg.connect(attachment.url()) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    attachment.detach()


def test_two_processes_share_and_the_last_stops_the_server(project: Path) -> None:
    with elsewhere(stays_attached(project)) as (child, pipe):
        assert told(pipe) is True
        mine = attach(project)
        assert not mine.started_server
        assert set(embedded.status(project).attached) == {os.getpid(), child.pid}
        mine.detach()
        assert mine.alive()
        pipe.send("leave")
        assert told(pipe) == "left"
    assert not embedded.status(project).running


def test_a_folder_reached_by_a_link_is_the_same_project(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    attach(link)
    assert not attach(project).started_server


def test_two_processes_that_start_at_once_start_one_server(project: Path) -> None:
    with (
        elsewhere(stays_attached(project)) as (_, left),
        elsewhere(stays_attached(project)) as (_, right),
    ):
        assert sorted([bool(told(left)), bool(told(right))]) == [False, True]


def test_keep_running_outlives_the_last_and_stop_ends_it(project: Path) -> None:
    attachment = attach(project)
    attachment.keep_running()
    attachment.detach()
    assert attachment.alive()
    attach(project).detach()
    assert attachment.alive()
    assert embedded.stop(project)
    assert not embedded.stop(project)
    attach(project).detach()
    assert not attachment.alive()


def test_another_database_of_the_same_server(project: Path) -> None:
    attachment = attach(project, database="second")
    assert attachment.created_database
    write(attachment.url("owner"), "here")
    assert words(attachment.url("owner", database="second")) == ["here"]
    with pytest.raises(EmbeddedError, match="no database name"):
        attach(project, database='x"; DROP')


def test_a_long_log_is_put_aside_at_the_next_start(project: Path) -> None:
    log = area(project) / "server.log"
    os.truncate(log, server.LOG_BYTES_MAX + 1)
    attach(project)
    assert log.with_name("server.log.1").exists()
    assert log.stat().st_size < server.LOG_BYTES_MAX


def test_purge_keeps_backups_and_another_server_may_follow(tmp_path: Path) -> None:
    attach(tmp_path)
    backup = tmp_path / ".bedplate" / "backups" / "one"
    backup.mkdir(parents=True)
    embedded.purge(tmp_path)
    assert [path.name for path in (tmp_path / ".bedplate").iterdir()] == ["backups"]
    assert not embedded.status(tmp_path).running
    assert attach(tmp_path).created_database
    embedded.purge(tmp_path)
    assert backup.is_dir()


def test_purge_deletes_ours_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    attach(tmp_path)
    ours = area(tmp_path)
    embedded.purge(tmp_path)
    embedded.purge(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
    assert not ours.exists()
    assert not embedded.status(tmp_path).running


@pytest.mark.parametrize(
    ("folder", "database"),
    [
        ("My Shop", "my_shop"),
        ("2024-launch", "_2024_launch"),
        ("Größe", "gr_e"),
        ("日本", "app"),
        ("postgres", "app"),
        ("", "app"),
        ("x" * 60, "x" * 40),
    ],
)
def test_a_folders_name_makes_a_database_name(folder: str, database: str) -> None:
    assert home.database_name(folder) == database
    assert home.checked_database(database) == database
