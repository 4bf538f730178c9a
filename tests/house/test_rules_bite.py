"""A law is one only if it refuses something: each is tried on a wrong source."""

from __future__ import annotations

import pytest

from tests.house import source
from tests.house.source import ROOT, SourceFile
from tests.house.test_fences import FENCES, names_used, refused_by
from tests.house.test_imports import cycles
from tests.house.test_sizes import parameters


def _file(text: str) -> SourceFile:
    return SourceFile(ROOT / "src" / "bedplate" / "kernel" / "x.py", text)


@pytest.mark.parametrize(
    ("law", "text"),
    [
        ("programs", "import subprocess"),
        ("programs", "from os import kill as end\nend(1, 9)"),
        ("programs", "import asyncio\nasyncio.create_subprocess_exec('ls')"),
        ("environment", "import os as system\nsystem.environ['X']"),
        ("environment", "from os import environ"),
        ("clock", "from datetime import datetime as d\nd.now()"),
        ("clock", "import datetime\ndatetime.datetime.utcnow()"),
        ("clock", "from time import time"),
        ("sql-clock-functions", "from sqlalchemy import func\nfunc.now()"),
        ("ids", "import uuid\nuuid.uuid4()"),
        ("alembic", "from alembic import op"),
        ("typer", "import typer"),
        ("web", "from starlette.requests import Request"),
        ("sessions", "from sqlalchemy.ext.asyncio import AsyncSession"),
    ],
)
def test_a_fence_refuses(law: str, text: str) -> None:
    fence = next(fence for fence in FENCES if fence.law == law)
    assert refused_by(fence, _file(text))


def test_a_fence_lets_through_what_only_looks_alike() -> None:
    text = "import time\ntime.monotonic()\nclock.now()\nfrom os import path\npath.join('a')"
    assert not [fence.law for fence in FENCES if refused_by(fence, _file(text))]
    assert ("time.monotonic", 2) in set(names_used(_file(text)))


def test_a_cycle_is_found_and_a_diamond_is_not_one() -> None:
    diamond = {"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set[str]()}
    assert cycles(diamond) == []
    assert cycles({**diamond, "d": {"a"}}) != []


def test_parameters_are_counted_without_self() -> None:
    text = "class A:\n def f(self, a, /, b, *c, d, **e): ...\n @staticmethod\n def g(a): ..."
    counted = {
        name: parameters(node, is_method=is_method)
        for name, node, is_method in source.functions(_file(text))
    }
    assert counted == {"A.f": 5, "A.g": 1}
