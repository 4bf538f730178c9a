"""Every undeclared touch of the battery, through the runner: it is always rolled back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests import proofs
from tests.databases import Server, new_database
from tests.operations.battery.cases import CASES
from tests.operations.battery.driven import Driven
from tests.operations.battery.trial import DRAWN, Battery

PAGE = """# The battery of statements, on PostgreSQL {postgresql}

`pytest --full tests/operations/battery/test_battery_driven.py`: {cases} statements, hostile and
benign, each as a revision that declares nothing. First between the witnesses alone, compared with
what every table, view, sequence and large object reads like: {missed} changes were missed, and
every verdict was the one stated. Then each of those {undeclared} with an undeclared touch through
the runner, as `bedplate migrate apply` runs it: {rolled_back} ended with `undeclared_touch`, and
afterwards rows, definitions and the version were as before. Numbers drawn from a sequence are not
put back by any rollback ({drawn} statements).

| verdict | statements |
|---|---|
{verdicts}

Refused though every row reads as before, because it would read otherwise for other rows, for
others or from now on, or could have: {harmless_count}.

{harmless}
"""


@pytest.mark.full
def test_every_undeclared_touch_of_the_battery_is_rolled_back_by_the_runner(
    server: Server, tmp_path: Path
) -> None:
    with new_database(server) as one, new_database(server) as other:
        battery, driven = Battery(one), Driven(other, tmp_path)
        ((postgresql,),) = battery.admin.execute("SHOW server_version").fetchall()
        verdicts: Counter[str] = Counter()
        faults: list[str] = []
        missed: list[str] = []
        harmless: list[str] = []
        undeclared = 0
        suited = [each for each in CASES if battery.suits(each)]
        for number, each in enumerate(suited):
            trial = battery.try_case(each)
            verdicts.update(trial.verdicts or {"nothing"})
            if trial.verdicts != each.expected:
                faults.append(f"{each.name}: {sorted(trial.verdicts)}")
            if trial.changed and not trial.beyond and not each.meanwhile:
                missed.append(each.name)
            if not trial.beyond:
                continue
            undeclared += 1
            if not trial.changed:
                harmless.append(each.name)
            outcome, traces = driven.drive(number, each)
            if outcome != "rolled back" or traces != DRAWN.get(each.name, set()):
                faults.append(f"{each.name}: {outcome}, {sorted(traces)}")
        driven.close()
        battery.close()
    assert (faults, missed) == ([], [])
    figures = {
        "postgresql": postgresql,
        "cases": len(suited),
        "missed": len(missed),
        "undeclared": undeclared,
        "rolled_back": undeclared,
        "drawn": len(DRAWN),
        "verdicts": dict(sorted(verdicts.items())),
        "harmless": sorted(harmless),
    }
    rows = "\n".join(f"| {verdict} | {count} |" for verdict, count in sorted(verdicts.items()))
    listed = {"verdicts": rows, "harmless": f"{', '.join(sorted(harmless))}."}
    page = PAGE.format(**{**figures, **listed, "harmless_count": len(harmless)})
    proofs.write(f"battery-{battery.major}", page, figures)
