from __future__ import annotations

from collections.abc import Iterator

import pytest

from bedplate.kernel.embedded import Attachment
from bedplate.kernel.errors import MigrationFailed
from bedplate.operations.migrate import verdict, witness_queries, witnesses
from tests.databases import new_database
from tests.operations.battery.beside import ADDITIONS
from tests.operations.battery.case import Case, case
from tests.operations.battery.cases import CASES, HARMLESS
from tests.operations.battery.trial import DRAWN, Battery

BY_NAME = {each.name: each for each in CASES}
NOTHING: dict[int, str] = {}
NOTHING_READ = "SELECT 1 WHERE false"


def no_touches(*_: object) -> tuple[()]:
    return ()


@pytest.fixture(scope="module")
def battery(server: Attachment) -> Iterator[Battery]:
    with new_database(server) as made:
        battery = Battery(made)
        yield battery
        battery.close()


def suited(battery: Battery) -> Iterator[Case]:
    return filter(battery.suits, CASES)


def test_no_change_is_missed_and_every_verdict_is_the_one_stated(battery: Battery) -> None:
    """Content and definitions, found apart, are as before after each undeclared touch."""
    faults: list[str] = []
    alarms: set[str] = set()
    tried = 0
    for each in suited(battery):
        tried += 1
        trial = battery.try_case(each)
        if trial.verdicts != each.expected:
            said = ", ".join(touch.sentence for touch in trial.touches)
            faults.append(f"{each.name}: expected {sorted(each.expected)}, but: {said}")
        if trial.changed and not trial.beyond and not each.meanwhile:
            faults.append(f"{each.name}: MISSED a change of {sorted(trial.changed)}")
        if trial.traces != frozenset(DRAWN.get(each.name, ())):
            faults.append(f"{each.name}: left a trace in {sorted(trial.traces)}")
        if trial.beyond and not trial.changed:
            alarms.add(each.name)
    assert faults == []
    assert tried >= 190
    assert alarms == {name for name in HARMLESS if battery.suits(BY_NAME[name])}


def test_what_only_adds_in_its_own_schema_needs_no_word(battery: Battery) -> None:
    assert [each.name for each in ADDITIONS if battery.try_case(each).beyond] == []


@pytest.mark.parametrize(
    "statements",
    [
        "CLOSE ALL",
        "MOVE FORWARD ALL FROM bedplate_before",
        "FETCH bedplate_before; SET LOCAL bedplate.witnessed = '{}'",
        "CLOSE bedplate_before; DECLARE bedplate_before CURSOR FOR SELECT 0::bigint, 'opened', ''",
    ],
)
def test_what_the_witnesses_left_in_the_transaction_is_not_to_be_touched(
    battery: Battery, statements: str
) -> None:
    with pytest.raises(MigrationFailed, match="bedplate_before"):
        battery.try_case(case("tampered", statements))


@pytest.mark.parametrize(
    ("place", "witness", "instead", "then_missed"),
    [
        (witness_queries, "COUNTS", f"{NOTHING_READ} AND 1 = 2", "large object written"),
        (witness_queries, "LOCKS", NOTHING_READ, "counters off"),
        (
            witness_queries,
            "RELATIONS",
            witness_queries.RELATIONS.replace("c.relfilenode::bigint", "0::bigint"),
            "truncate",
        ),
        (witness_queries, "PARTS_OF", "SELECT 0, 'opened', NULL", "column swap"),
        (witness_queries, "TYPES", f"{NOTHING_READ} AND 2 = 3", "rename label"),
        (witness_queries, "FUNCTIONS", f"{NOTHING_READ} AND 3 = 4", "function redefined"),
        (witnesses, "SETTLE", "SELECT 1", "deferred on a new table"),
        (verdict, "_sequence", no_touches, "nextval"),
        (verdict, "LARGE_OBJECTS", NOTHING, "large object removed"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else None,
)
def test_without_any_one_witness_something_is_missed(
    battery: Battery,
    monkeypatch: pytest.MonkeyPatch,
    place: object,
    witness: str,
    instead: object,
    then_missed: str,
) -> None:
    tried = BY_NAME[then_missed]
    trial = battery.try_case(tried)
    assert trial.changed
    assert trial.beyond
    monkeypatch.setattr(place, witness, instead)
    trial = battery.try_case(tried)
    assert trial.changed
    assert trial.beyond == ()
