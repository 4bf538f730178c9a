"""Users, modes and secrets: as root and as a plain user."""

from __future__ import annotations

import os
import stat
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import embedded, processes
from bedplate.kernel.embedded import binaries
from bedplate.kernel.errors import EmbeddedError, FolderNotWritable, FolderTaken
from tests.kernel.embedded.elsewhere import (
    NOBODY,
    area,
    attach,
    elsewhere,
    only_root,
    pid_of,
    told,
    words,
    write,
)


def test_a_wrong_password_is_refused(project: Path) -> None:
    attachment = attach(project)
    wrong = attachment.url().replace("_app:", "_app:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_secrets_are_private_and_nowhere_else(project: Path) -> None:
    attachment = attach(project)
    path = project / ".bedplate" / "secrets.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    passwords = [line.split('"')[1] for line in path.read_text().splitlines()]
    assert len(passwords) == len(set(passwords)) == 4
    log = area(project) / "server.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    command = Path(f"/proc/{pid_of(project)}/cmdline").read_text()
    for password in passwords:
        assert password not in log.read_text()
        assert password not in command
        assert password not in repr(attachment)


def test_no_mode_outside_our_folders_changes(project: Path) -> None:
    wheel = binaries.find(18).parent
    outside = [*project.parents, project, *wheel.parents, wheel, *wheel.rglob("*")]
    before = [(path, path.lstat().st_mode, path.lstat().st_uid) for path in outside]
    attach(project).detach()
    assert [(path, path.lstat().st_mode, path.lstat().st_uid) for path in outside] == before


@only_root
def test_roots_server_runs_as_someone_else_on_a_copy_it_cannot_change(project: Path) -> None:
    attach(project)
    uid = Path(f"/proc/{pid_of(project)}").stat().st_uid
    data = area(project) / "data"
    assert uid == data.stat().st_uid != 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert area(project).stat().st_uid == 0
    programs = binaries.for_machine(18)
    assert programs.is_relative_to(binaries.MACHINE_FOLDER)
    copies = [programs.parents[2], *programs.parents[2].rglob("*")]
    assert {path.lstat().st_uid for path in copies} == {0}
    assert not [p for p in copies if not p.is_symlink() and p.stat().st_mode & 0o022]
    for program in ("psql", "pg_dump"):
        finished = processes.run([str(programs / program), "--version"], timeout_s=10, user=NOBODY)
        assert "18." in finished.stdout


@only_root
def test_roots_data_lies_in_memory_where_the_project_does(
    project: Path,
) -> None:
    assert binaries.machine_folder(Path("/srv/shop/.bedplate")) == binaries.MACHINE_FOLDER
    assert binaries.machine_folder(Path("/dev/shm/shop/.bedplate")) == binaries.MEMORY_FOLDER
    attach(project)
    assert area(project).parent == binaries.machine_folder(project)


@only_root
def test_a_folder_in_memory_that_another_user_made_is_refused(tmp_path: Path) -> None:
    assert NOBODY is not None
    made = tmp_path / "bedplate"
    made.mkdir()
    os.chown(made, NOBODY.uid, NOBODY.gid)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for folder in (made, link):
        with pytest.raises(FolderTaken, match="Remove it"):
            binaries.make_machine_folder(folder)


def test_a_plain_user_has_all_of_it_below_the_project(open_folder: Path) -> None:
    def work(pipe: Connection) -> None:
        attachment = attach(open_folder)
        write(attachment.url("owner"), "plain")
        pipe.send(words(attachment.url("owner")))
        pipe.send(embedded.status(open_folder))
        pipe.recv()
        attachment.detach()
        embedded.purge(open_folder)
        pipe.send(list(open_folder.iterdir()))

    mode = open_folder.stat().st_mode
    with elsewhere(work, plain=True) as (_, pipe):
        assert told(pipe) == ["plain"]
        status = told(pipe)
        assert isinstance(status, embedded.ServerStatus)
        assert status.data_folder == open_folder / ".bedplate" / "data"
        assert NOBODY is not None
        assert Path(f"/proc/{status.pid}").stat().st_uid == NOBODY.uid
        pipe.send("leave")
        assert told(pipe) == []
    assert open_folder.stat().st_mode == mode


def test_a_plain_user_is_told_where_writing_is_refused(open_folder: Path) -> None:
    def work(pipe: Connection) -> None:
        open_folder.chmod(0o555)
        try:
            attach(open_folder)
        except EmbeddedError as error:
            pipe.send(error)
        finally:
            open_folder.chmod(0o755)

    with elsewhere(work, plain=True) as (_, pipe):
        error = told(pipe)
        assert isinstance(error, FolderNotWritable)
        assert "Permission denied" in str(error)
    assert list(open_folder.iterdir()) == []
