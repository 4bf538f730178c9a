"""The server that tests run on: one for all of pytest-xdist's workers, and kept from run to run.

Without a URL it is an embedded one in the user's cache folder, which gives up safety against power
loss for speed. Its templates stay, so only the first run waits for initdb and for the lines.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.errors import ServerStartFailed
from bedplate.kernel.settings import TestSettings, environment

LOGINS = ("owner", "app", "reader")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server whose databases may come and go; leave it with `close` or `with`."""

    admin_url: str
    attachment: Attachment | None = None

    @classmethod
    def start(cls, settings: TestSettings, cache: Path | None = None) -> Server:
        """Use the server of `[test] database_url`, a superuser's, or else an embedded one.

        Raises the EmbeddedErrors. `cache` defaults to the user's cache folder.
        """
        if settings.database_url is not None:
            return cls(settings.database_url)
        folder = server_folder(settings.postgres_major, cache)
        try:
            attachment = _attach(folder, settings.postgres_major)
        except ServerStartFailed:
            # The machine may have lost power in the middle of a run, and nothing was synced to
            # disk. All of it can be made again, so that is what happens, once.
            embedded.purge(folder)
            attachment = _attach(folder, settings.postgres_major)
        return cls(attachment.url("admin", "postgres"), attachment)

    @property
    def passwords(self) -> dict[str, str]:
        """The passwords of a test database's roles: the same in every worker, stored nowhere."""
        secret = str(conninfo_to_dict(self.admin_url).get("password", ""))
        return {
            role: hashlib.sha256(f"{role} {secret}".encode()).hexdigest()[:32] for role in LOGINS
        }

    def close(self) -> None:
        """Leave the server; the last process to leave stops an embedded one."""
        if self.attachment is not None:
            self.attachment.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def server_folder(major: int, cache: Path | None = None) -> Path:
    """Return the folder of the embedded test server, made where it is missing.

    Each Python environment has its own, so that two versions of Bedplate never share one.
    """
    identity = hashlib.sha256(f"{sys.prefix} {major}".encode()).hexdigest()[:8]
    for place in (cache or _cache(), Path(tempfile.gettempdir()) / f"bedplate-{os.geteuid()}"):
        folder = place / "bedplate-tests" / f"{major}-{identity}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ServerStartFailed(
        "There is no folder to keep a test server in.",
        "Set XDG_CACHE_HOME to one, or BEDPLATE_TEST_DATABASE_URL to a throwaway server.",
    )


def _cache() -> Path:
    variables = environment()
    home = variables.get("XDG_CACHE_HOME", "")
    return Path(home) if home.startswith("/") else Path(variables.get("HOME", "/")) / ".cache"


def _attach(folder: Path, major: int) -> Attachment:
    return embedded.attach(folder, major=major, database="scratch", durable=False)
