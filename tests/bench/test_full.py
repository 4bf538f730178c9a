"""The whole bench against its floors; half an hour, so only with --full."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bedplate.kernel import processes
from bench.__main__ import WORKS
from tests import proofs

ROOT = Path(__file__).parents[2]
LONGEST_S = 3_000


@pytest.mark.full
@pytest.mark.parametrize("work", WORKS)
def test_the_bench_reaches_its_floors(work: str) -> None:
    script = f"import os, runpy, sys; os.chdir({str(ROOT)!r}); sys.path.insert(0, '.')"
    script += f"; sys.argv[1:] = ['--json', '--check', '--works', {work!r}]"
    script += "; runpy.run_module('bench', run_name='__main__')"
    ended = processes.run([sys.executable, "-c", script], timeout_s=LONGEST_S)
    assert ended.stdout, ended.stderr
    figures = json.loads(ended.stdout)
    lines = [
        f"# The bench: {work}, {figures['machine']['date']}",
        "",
        "Run by `pytest --full`.",
        "",
    ]
    proofs.write(f"bench-{work}", "\n".join([*lines, *figures["table"]]), figures)
    assert ended.returncode == 0, ended.stderr[-2_000:]
