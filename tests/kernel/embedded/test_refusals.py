"""What is refused: with a typed error, a next step, no secret, and nothing changed."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from bedplate.kernel import embedded
from bedplate.kernel.embedded import home
from bedplate.kernel.errors import (
    EmbeddedError,
    FolderNotWritable,
    FolderTaken,
    PortTaken,
    ServerStartFailed,
    WrongMajor,
)
from tests.kernel.embedded.elsewhere import area, attach, only_root


def test_another_major_version_is_refused_and_nothing_changes(project: Path) -> None:
    before = snapshot(project / ".bedplate")
    with pytest.raises(WrongMajor, match="PostgreSQL 18, and 16 was asked for"):
        attach(project, major=16)
    assert snapshot(project / ".bedplate") == before


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    found = [path for path in folder.rglob("*") if path.name not in ("lock", ".bedplate")]
    return {str(p): (p.lstat().st_mode, p.lstat().st_mtime_ns) for p in (*found, folder)}


def test_a_version_the_wheel_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="no PostgreSQL 17"):
        attach(tmp_path, major=17)
    embedded.purge(tmp_path)


def test_a_taken_port_is_named_and_its_line_may_be_deleted(project: Path) -> None:
    record = project / ".bedplate" / "server.toml"
    port = embedded.status(project).port
    with socket.create_server(("127.0.0.1", port or 0)):
        with pytest.raises(PortTaken, match=f"delete the line `port = {port}`"):
            attach(project)
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("port")))
        attachment = attach(project)
        assert embedded.status(project).port not in (port, None)
        assert attachment.alive()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_bedplate_that_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    taken = tmp_path / ".bedplate"
    if kind == "file":
        taken.write_text("mine")
    else:
        (tmp_path / "else").mkdir()
        taken.symlink_to(tmp_path / "else")
    for action in (attach, embedded.status, embedded.stop, embedded.purge):
        with pytest.raises(FolderTaken, match="is not a folder"):
            action(tmp_path)
    assert taken.exists()


@only_root
def test_a_bedplate_of_someone_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ".bedplate"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(FolderTaken, match=r"belongs to nobody.* Run as nobody"):
        attach(tmp_path)


def test_a_data_folder_that_is_not_postgresql_is_left_alone(tmp_path: Path) -> None:
    made_home = home.make_home(tmp_path)
    record = home.ensure_record(made_home, major=18, database=None)
    made_home.data(record).mkdir(parents=True)
    (made_home.data(record) / "precious").write_text("x")
    with pytest.raises(FolderTaken, match="no PostgreSQL data"):
        attach(tmp_path)
    assert (made_home.data(record) / "precious").exists()
    embedded.purge(tmp_path)


def test_a_read_only_data_folder_is_refused(project: Path) -> None:
    data = area(project) / "data"
    data.chmod(0o500)
    try:
        with pytest.raises(FolderNotWritable, match=r"read-only.*chmod"):
            attach(project)
        assert stat.S_IMODE(data.stat().st_mode) == 0o500
    finally:
        data.chmod(0o700)


def test_a_damaged_record_is_refused(project: Path) -> None:
    record = project / ".bedplate" / "server.toml"
    text = record.read_text()
    try:
        for damage in ("id = ", 'id = "../../etc"\nmajor = 18\ndatabase = "x"\n'):
            record.write_text(damage)
            for action in (attach, embedded.purge):
                with pytest.raises(EmbeddedError, match=r"server\.toml"):
                    action(project)
    finally:
        record.write_text(text)


def test_secrets_that_do_not_fit_are_told_without_showing_them(project: Path) -> None:
    path = project / ".bedplate" / "secrets.toml"
    text = path.read_text()
    try:
        path.write_text(text.replace('admin = "', 'admin = "WRONG'))
        with pytest.raises(ServerStartFailed, match=r"secrets\.toml") as caught:
            attach(project)
        assert "WRONG" not in str(caught.value)
        assert not embedded.status(project).running
        path.unlink()
        with pytest.raises(EmbeddedError, match="Put it back"):
            attach(project)
    finally:
        path.write_text(text)
        path.chmod(0o600)


def test_a_server_that_does_not_start_says_why(project: Path) -> None:
    configuration = area(project) / "data" / "postgresql.auto.conf"
    text = configuration.read_text()
    try:
        configuration.write_text("work_mem = 'much'\n")
        with pytest.raises(ServerStartFailed, match=r"work_mem.*The whole log is"):
            attach(project)
    finally:
        configuration.write_text(text)


@only_root
def test_a_copy_of_roots_folder_does_not_share_its_data(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / ".bedplate", tmp_path / ".bedplate")
    for action in (attach, embedded.stop, embedded.purge):
        with pytest.raises(FolderTaken, match="is a copy of"):
            action(tmp_path)
    attach(project).detach()
