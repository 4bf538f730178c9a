"""The one list of exceptions from the house laws, and the rule that it may only shrink."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from tests.house.source import ROOT

LIST = ROOT / "tests" / "house" / "exceptions.toml"


@cache
def entries() -> tuple[Mapping[str, Any], ...]:
    return tuple(tomllib.loads(LIST.read_text(encoding="utf-8")).get("exception", ()))


def hold(law: str, offenders: Mapping[str, str], *, why: str) -> None:
    """Fail for every offender without an exception and for every exception without an offender.

    `offenders` maps a place to what is wrong there; `why` is the reason of the law.
    """
    excused = {entry["place"] for entry in entries() if entry["law"] == law}
    problems = [f"{place}: {wrong}" for place, wrong in offenders.items() if place not in excused]
    problems += [
        f"{place}: obeys by now; take its exception out of tests/house/exceptions.toml"
        for place in sorted(excused - offenders.keys())
    ]
    _tell(law, why, problems)


def hold_limit(law: str, measures: Mapping[str, int], *, limit: int, why: str) -> None:
    """The same for a law that measures: an exception states the measure it allows, no more."""
    allowed = {entry["place"]: entry["limit"] for entry in entries() if entry["law"] == law}
    problems = [
        f"{place}: {measure}, at most {allowed.get(place, limit)}"
        for place, measure in measures.items()
        if measure > allowed.get(place, limit)
    ]
    for place, excused in allowed.items():
        measure = measures.get(place, 0)
        if measure <= limit:
            problems.append(f"{place}: obeys by now; take its exception out")
        elif measure < excused:
            problems.append(f"{place}: lower its exception from {excused} to {measure}")
    _tell(law, why, problems)


def _tell(law: str, why: str, problems: list[str]) -> None:
    if problems:
        told = "\n  ".join([f"house law {law!r} is broken ({why}):", *problems])
        pytest.fail(told, pytrace=False)
