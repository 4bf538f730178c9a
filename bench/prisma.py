"""Make Prisma 7 runnable: installed and generated once, outside the repository."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from bench.processes import run

PACKAGES = ("prisma@7.10.1", "@prisma/client@7.10.0", "@prisma/adapter-pg@7.10.1", "pg@8.23.1")
INSTALL_LIMIT_S = 300
_SOURCE = Path(__file__).parent / "contestants" / "prisma"
# Prisma's own programs are native; the client is not. Without the first two settings
# its command line would fetch one, and without the others it would phone home.
_QUIET = (
    "PRISMA_SCHEMA_ENGINE_BINARY=/bin/true",
    "PRISMA_QUERY_ENGINE_LIBRARY=/bin/true",
    "CHECKPOINT_DISABLE=1",
    "DO_NOT_TRACK=1",
    "PRISMA_DISABLE_TELEMETRY=1",
)


class PrismaAbsent(Exception):
    """Prisma cannot take part here; the message says why."""


async def prepare(cache: Path, program: str = "worker.mjs") -> list[str]:
    """Install and generate what is missing; return the command line of one of its programs.

    Raises PrismaAbsent without Node, CommandFailed when the installation fails.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise PrismaAbsent("node and npm are not installed")
    sources = sorted(path for path in _SOURCE.iterdir() if path.is_file())
    digest = hashlib.sha256("\n".join(PACKAGES).encode())
    for source in sources:
        digest.update(source.read_bytes())
    folder = cache / f"prisma-{digest.hexdigest()[:12]}"
    ready = folder / "ready"
    if not ready.exists():
        folder.mkdir(parents=True, exist_ok=True)
        package = {"name": "bench", "private": True, "type": "module"}
        (folder / "package.json").write_text(json.dumps(package))
        for source in sources:
            shutil.copy(source, folder)
        install = ["env", *_QUIET, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        await run([*install, *PACKAGES], folder=folder, limit_s=INSTALL_LIMIT_S)
        generate = ["env", *_QUIET, str(folder / "node_modules" / ".bin" / "prisma"), "generate"]
        await run(generate, folder=folder, limit_s=INSTALL_LIMIT_S)
        ready.touch()
    return ["env", *_QUIET, "NODE_ENV=production", node, str(folder / program)]
