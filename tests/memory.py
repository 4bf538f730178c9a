"""Where what nobody keeps is written: into memory, where there is plenty; `python -m` says it."""

from __future__ import annotations

import os
import shutil
import tempfile

MEMORY = "/dev/shm"
FREE_BYTES_MIN = 8 * 1024**3
"""The servers under test write some gigabytes; they must not take what others need."""


def folder() -> str:
    """Return where temporary files go: where TMPDIR says, else into memory, else to the disk."""
    given = os.environ.get("TMPDIR")
    return given or (MEMORY if _serves() else tempfile.gettempdir())


def cache() -> str:
    """Return where the test server is kept for the next run: in memory too, until a restart."""
    given = os.environ.get("XDG_CACHE_HOME")
    return given or os.path.join(folder(), f"bedplate-cache-{os.geteuid()}")


def _serves() -> bool:
    try:
        # Tests start programs that they write.
        runs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
        return (
            runs
            and os.access(MEMORY, os.W_OK)
            and (shutil.disk_usage(MEMORY).free >= FREE_BYTES_MIN)
        )
    except OSError:
        return False


if __name__ == "__main__":
    print(folder())
