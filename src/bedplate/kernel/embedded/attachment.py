"""Use the project's server together: the first to come starts it, the last to leave stops it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg

from bedplate.kernel import roles
from bedplate.kernel.embedded import server
from bedplate.kernel.embedded.home import (
    HOST,
    Home,
    Record,
    checked_database,
    ensure_record,
    ensure_secrets,
    home_of,
    make_home,
    not_writable,
    read_record,
    require_writable,
)
from bedplate.kernel.embedded.locking import Presence, exclusive, present
from bedplate.kernel.errors import EmbeddedError, ServerStartFailed

LOCK_LIMIT_S = 360.0  # longer than any start or stop that holds it
DEFAULT_MAJOR = 18
BACKUPS = "backups"
"""The folder in `.bedplate` that outlives the database."""

RoleName = Literal["app", "owner", "reader", "admin"]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known of a project's server; all None where the project never had one."""

    running: bool
    pid: int | None = None
    port: int | None = None
    major: int | None = None
    database: str | None = None
    data_folder: Path | None = None
    log_file: Path | None = None
    attached: tuple[int, ...] = ()


class Attachment:
    """This process's use of the server. While it lives, the server is not stopped by others' leave.

    `created_database` and `started_server` say what `attach` had to do.
    """

    def __init__(
        self, home: Home, record: Record, passwords: Mapping[str, str], *, durable: bool
    ) -> None:
        """Made by `attach`, under the home's lock."""
        self.created_database = False
        self.started_server = False
        self.database = record.database
        self._home = home
        self._record = record
        self._port = record.port
        self._passwords = passwords
        self._durable = durable
        self._process = os.getpid()
        self._presence: Presence | None = None

    def __repr__(self) -> str:
        return f"<Attachment {self.database} on {HOST}:{self._port}>"

    def url(self, role: RoleName = "app", database: str | None = None) -> str:
        """Return a URL with its password, for one role of this database's.

        `database` names another database of the same server, such as a clone for tests.
        """
        user = server.ADMIN if role == "admin" else getattr(roles.names(self.database), role)
        where = f"{HOST}:{self._port}/{quote(database or self.database, safe='')}"
        return f"postgresql://{user}:{quote(self._passwords[role], safe='')}@{where}"

    @property
    def stopped(self) -> bool:
        """Whether someone stopped the server on purpose (`bedplate down`)."""
        return not self._home.folder.exists() or self._home.stopped.exists()

    def alive(self) -> bool:
        """Tell whether the server runs and is ready."""
        postmaster = server.running(self._home.data(self._record))
        return postmaster is not None and postmaster.ready

    def ensure_running(self) -> bool:
        """Start the server again after a crash; True if it was started by this call.

        A server that was stopped on purpose stays down: see `stopped`. Raises the
        `EmbeddedError`s.
        """
        if self.alive() or self.stopped:
            return False
        with exclusive(self._home.lock, timeout_s=LOCK_LIMIT_S):
            return not self.stopped and self._start()

    def keep_running(self) -> None:
        """Let the server outlive its last attachment, until `stop`."""
        with exclusive(self._home.lock, timeout_s=LOCK_LIMIT_S):
            self._home.detached.touch(mode=0o600)

    def detach(self, stop_if_last: bool = True) -> None:
        """Leave; stops the server when nobody else is attached and nobody asked to keep it.

        Safe to call twice, and in a forked child, where it does nothing.
        """
        presence, self._presence = self._presence, None
        if presence is None or self._process != os.getpid():
            return
        if not self._home.folder.exists():
            presence.leave()  # purged by someone else
            return
        with exclusive(self._home.lock, timeout_s=LOCK_LIMIT_S):
            presence.leave()
            if stop_if_last and not self._home.detached.exists():
                _stop_if_unused(self._home, self._record)

    def _start(self) -> bool:
        """Start the server unless it runs; call it under the home's lock."""
        postmaster = server.settled(self._home.data(self._record))
        if postmaster is not None:
            self._port = postmaster.port
            return False
        self._port = server.start(
            self._home,
            self._record,
            admin_password=self._passwords["admin"],
            durable=self._durable,
        ).port
        return True

    def enter(self, database: str | None) -> None:
        """Start the server, set up roles and database, announce ourselves; for `attach` only."""
        self.started_server = self._start()
        self._home.stopped.unlink(missing_ok=True)
        if self.started_server:
            # A wish to keep running was for the server that ran then.
            self._home.detached.unlink(missing_ok=True)
        self.database = database or self._record.database
        admin_url = self.url("admin", "postgres")
        try:
            self.created_database = roles.ensure(admin_url, self.database, self._passwords)
        except psycopg.OperationalError as error:
            raise ServerStartFailed(
                f"The server runs, but cannot be opened: {str(error).strip()}",
                f"See that {self._home.folder / 'secrets.toml'} is the one the data was made "
                f"with, and read {self._home.log(self._record)}.",
            ) from None
        self._presence = Presence(self._home.attached)


def attach(
    folder: Path,
    *,
    major: int = DEFAULT_MAJOR,
    database: str | None = None,
    durable: bool = True,
) -> Attachment:
    """Attach this process to the folder's server; what is missing is made and started first.

    `database` defaults to the recorded one, and that to the folder's name. `durable=False`
    gives up safety against power loss for speed: for tests only. Raises the `EmbeddedError`s;
    no message holds a password.
    """
    if database is not None:
        checked_database(database)
    home = make_home(folder)
    with exclusive(home.lock, timeout_s=LOCK_LIMIT_S):
        record = read_record(home)
        if record is not None:
            server.require_ours(home, record)
            server.require_major(home, record, major)
        record = ensure_record(home, major=major, database=database)
        passwords = ensure_secrets(home, record)
        attachment = Attachment(home, record, passwords, durable=durable)
        try:
            attachment.enter(database)
        except BaseException:
            if attachment.started_server:
                _stop_if_unused(home, record)
            raise
    return attachment


def status(folder: Path) -> ServerStatus:
    """Tell how the folder's server is; changes nothing. Raises `FolderTaken`."""
    home = home_of(folder)
    record = read_record(home) if home else None
    if home is None or record is None:
        return ServerStatus(running=False)
    postmaster = server.running(home.data(record))
    return ServerStatus(
        running=postmaster is not None,
        pid=postmaster.pid if postmaster else None,
        port=postmaster.port if postmaster else record.port or None,
        major=record.major,
        database=record.database,
        data_folder=home.data(record),
        log_file=home.log(record),
        attached=present(home.attached),
    )


def stop(folder: Path) -> bool:
    """Stop the folder's server, whoever is attached; True if it ran. Deletes nothing."""
    home = home_of(folder)
    if home is None:
        return False
    require_writable(home.folder)
    with exclusive(home.lock, timeout_s=LOCK_LIMIT_S):
        return _stop(home)


def purge(folder: Path) -> None:
    """Stop the folder's server and delete its data and `.bedplate`, for good; backups are kept.

    The caller must have asked the user. Raises `EmbeddedError` when the record is damaged,
    for then it is not known what is ours.
    """
    home = home_of(folder)
    if home is None:
        return
    require_writable(home.folder)
    with exclusive(home.lock, timeout_s=LOCK_LIMIT_S):
        _stop(home)
        record = read_record(home)
        if record is None and any(home.folder.glob("data*")):
            raise EmbeddedError(
                f"{home.record_file} is missing, so it is not certain that this data is ours.",
                f"Delete {home.folder} by hand.",
            )
        if record is not None:
            server.delete(home, record)
        try:
            _clear(home.folder)
        except OSError as error:
            raise not_writable(home.folder, error) from None


def _clear(folder: Path) -> None:
    """Delete the folder, but for the backups in it: they matter most when a database is gone."""
    backups = folder / BACKUPS
    if not backups.is_dir() or not any(backups.iterdir()):
        shutil.rmtree(folder)
        return
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink() and each != backups:
            shutil.rmtree(each)
        elif each != backups:
            each.unlink()


def _stop(home: Home) -> bool:
    record = read_record(home)
    home.detached.unlink(missing_ok=True)
    if record is None:
        return False
    server.require_ours(home, record)
    # Others that are attached must tell this from a crash.
    home.stopped.touch(mode=0o600)
    return server.stop(home, record)


def _stop_if_unused(home: Home, record: Record) -> None:
    if not present(home.attached, sweep=True):
        server.stop(home, record)
