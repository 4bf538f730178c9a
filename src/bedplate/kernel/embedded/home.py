"""A project's `.bedplate` folder: who may use it, what it records, where the data lies."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bedplate.kernel import processes
from bedplate.kernel.embedded.binaries import machine_folder
from bedplate.kernel.errors import EmbeddedError, FolderNotWritable, FolderTaken, PortTaken

FOLDER = ".bedplate"
HOST = "127.0.0.1"
# Below the ports that the kernel hands to outgoing connections, so that none is in our way.
PORTS = range(15_432, 32_768)
PORT_TRIES = 100
DATABASE_NAME_LIMIT = 40
RESERVED = ("postgres", "template0", "template1")
SECRETS = ("admin", "owner", "app", "reader")
# A server must never run as root; these are tried in order, and the data's owner stays.
SERVER_USERS = ("bedplate", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Record:
    """What `.bedplate/server.toml` says."""

    id: str
    port: int
    major: int
    database: str


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one project's server; makes nothing by itself."""

    folder: Path  # .bedplate

    @property
    def record_file(self) -> Path:
        """What is fixed about the server; people may edit it while the server is down."""
        return self.folder / "server.toml"

    @property
    def lock(self) -> Path:
        """Held around every start and stop."""
        return self.folder / "lock"

    @property
    def attached(self) -> Path:
        """A locked file for each attachment."""
        return self.folder / "attached"

    @property
    def detached(self) -> Path:
        """There when the server is to outlive its last attachment."""
        return self.folder / "detached"

    @property
    def stopped(self) -> Path:
        """There when someone stopped the server on purpose."""
        return self.folder / "stopped"

    def area(self, record: Record) -> Path:
        """The folder that holds the data and the log: root's lies where its server may go."""
        return machine_folder(self.folder) / record.id if os.geteuid() == 0 else self.folder

    def data(self, record: Record) -> Path:
        """PostgreSQL's data folder."""
        return self.area(record) / "data"

    def log(self, record: Record) -> Path:
        """PostgreSQL's log."""
        return self.area(record) / "server.log"

    def guard(self, record: Record) -> Path:
        """Held by the server and its children for as long as any of them lives."""
        return self.area(record) / "server.lock"

    def sockets(self, record: Record) -> Path:
        """The folder of the Unix socket; short, because a socket's path is limited to 107."""
        root = os.geteuid() == 0 or len(tempfile.gettempdir()) > 60
        return Path("/tmp" if root else tempfile.gettempdir()) / f"bedplate-{record.id}"


def home_of(folder: Path) -> Home | None:
    """Return the project's home where there is one that is ours; raises `FolderTaken`."""
    home = Home(folder.resolve() / FOLDER)
    try:
        found = home.folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not home.folder.is_dir() or home.folder.is_symlink():
        raise FolderTaken(
            f"{home.folder} is not a folder.", "Move it away, or work in another folder."
        )
    if found.st_uid != os.geteuid():
        owner = processes.user_name(found.st_uid)
        raise FolderTaken(
            f"{home.folder} belongs to {owner}.",
            f"Run as {owner}, or work in another folder.",
        )
    return home


def make_home(folder: Path) -> Home:
    """Return the project's home, made where it is missing.

    Raises `FolderTaken` or `FolderNotWritable`.
    """
    home = home_of(folder)
    if home is None:
        home = Home(folder.resolve() / FOLDER)
        try:
            home.folder.mkdir(mode=0o700)
            # Secrets and data must not end in a commit, whatever the project ignores.
            _write(home.folder / ".gitignore", "*\n")
        except FileExistsError:
            return make_home(folder)  # another process was faster
        except OSError as error:
            raise not_writable(folder, error) from None
    require_writable(home.folder)
    return home


def require_writable(folder: Path) -> None:
    """Refuse a folder of ours whose owner may not write; raises `FolderNotWritable`."""
    # Root may write everywhere, its server may not: so the mode is asked, then the system.
    mode = folder.stat().st_mode & 0o777
    if mode & 0o700 != 0o700 or not os.access(folder, os.W_OK | os.X_OK):
        raise FolderNotWritable(
            f"{folder} is read-only (mode {mode:04o}).", f"Run `chmod u+rwx {folder}`."
        )
    if mode & 0o077:
        folder.chmod(0o700)


def not_writable(folder: Path, error: OSError) -> FolderNotWritable:
    """Say that a place for data cannot be written, and what to do."""
    return FolderNotWritable(
        f"{folder} cannot be written: {error.strerror}.",
        "Make it writable, or work in another folder.",
    )


def read_record(home: Home) -> Record | None:
    """Return what server.toml says; a missing port is 0. Raises `EmbeddedError` when damaged."""
    content = _read(home.record_file)
    if content is None:
        return None
    identity, port = content.get("id"), content.get("port", 0)
    major, database = content.get("major"), content.get("database")
    if (
        not isinstance(identity, str)
        or not re.fullmatch(r"[0-9a-f]{8,16}", identity)
        or not isinstance(port, int)
        or not 0 <= port <= 65_535
        or not isinstance(major, int)
        or not isinstance(database, str)
    ):
        raise EmbeddedError(
            f"{home.record_file} is damaged: it needs id, major, database and (optional) port.",
            "Put it back from a copy; its id names the folder that holds the data.",
        )
    return Record(identity, port, major, checked_database(database))


def ensure_record(home: Home, *, major: int, database: str | None) -> Record:
    """Return the record, made or completed where parts are missing, with a port."""
    record = read_record(home)
    if record is None:
        chosen = checked_database(database) if database else database_name(home.folder.parent.name)
        made = Record(secrets.token_hex(4), free_port(), major, chosen)
    else:
        made = record if record.port else replace(record, port=free_port())
        if made.major != major and not home.data(made).exists():
            made = replace(made, major=major)
    if made != record:
        _write(home.record_file, _toml(asdict(made)))
    return made


def ensure_secrets(home: Home, record: Record) -> Mapping[str, str]:
    """Return the passwords by role; made once, before there is data that needs them."""
    path = home.folder / "secrets.toml"
    content = _read(path)
    if content is None:
        if home.data(record).exists():
            raise EmbeddedError(
                f"{path} is missing, and the data cannot be opened without it.",
                "Put it back from a copy, or start anew with `bedplate down --purge`.",
            )
        content = {name: secrets.token_urlsafe(24) for name in SECRETS}
        _write(path, _toml(content))
    passwords = {name: content.get(name) for name in SECRETS}
    if not all(isinstance(password, str) and password for password in passwords.values()):
        raise EmbeddedError(
            f"{path} is damaged: it needs {', '.join(SECRETS)}.", "Put it back from a copy."
        )
    return {name: str(password) for name, password in passwords.items()}


def checked_database(name: str) -> str:
    """Return the name, or raise `EmbeddedError` where it would need quotes or be too long."""
    if not re.fullmatch(rf"[a-z_][a-z0-9_]{{0,{DATABASE_NAME_LIMIT - 1}}}", name):
        raise EmbeddedError(
            f'"{name}" is no database name.',
            "Use lower-case letters, digits and _, "
            f"starting with a letter, at most {DATABASE_NAME_LIMIT}.",
        )
    if name in RESERVED:
        raise EmbeddedError(f"{name} is PostgreSQL's own database.", "Choose another name.")
    return name


def database_name(text: str) -> str:
    """Make a database name of a folder's name; `app` where nothing is left of it."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if name[:1].isdigit():
        name = f"_{name}"
    name = name[:DATABASE_NAME_LIMIT].rstrip("_")
    return "app" if not name or name in RESERVED else name


def free_port() -> int:
    """Choose a port of 127.0.0.1 that nothing listens on."""
    for _ in range(PORT_TRIES):
        port = secrets.choice(PORTS)
        if port_is_free(port):
            return port
    raise PortTaken(
        f"No free port was found in {PORTS.start} to {PORTS.stop - 1}.",
        "End programs that listen on 127.0.0.1.",
    )


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on the port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # PostgreSQL sets it too: connections that are dying do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _read(path: Path) -> dict[str, object] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise EmbeddedError(f"{path} is not TOML.", "Put it back from a copy.") from None


def _toml(content: Mapping[str, object]) -> str:
    """Write numbers and plain text as TOML; JSON spells those two alike."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in content.items())


def _write(path: Path, text: str) -> None:
    """Write a file of mode 0600 at once: readers see the old text or the new."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(path)
