"""The demo's recount: every answer is looked for in the rows, and a missing one is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from bedplate.cli.demo.client import work
from bedplate.cli.demo.errands import Answer, Errand, Orders, read_answers
from bedplate.cli.demo.recount import Recount, recount
from bedplate.cli.demo.stage import Stage, set_stage
from bedplate.kernel import ids
from bedplate.modules.credits import OperationType

CHAT = OperationType.AI_TEXT_CHAT


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with set_stage(durable=False) as made:
        yield made


@pytest.fixture(scope="module")
def answers(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """What a client was told: of a charge and its refund, a capture, a release and refusals."""
    user, *_ = stage.people(50)
    book = tmp_path_factory.mktemp("book") / "book"
    errands = tuple(
        Errand(key=key, user_id=user, operation=CHAT, amount=amount, is_hold=is_hold, then=then)
        for key, amount, is_hold, then in (
            ("charged", 5, False, 0),
            ("refunded", 5, False, 2),
            ("captured", 5, True, 3),
            ("released", 5, True, 0),
            ("refused", 1_000, False, 0),
            ("not held", 1_000, True, 0),
        )
    )
    with book.open("ab", buffering=0) as written:
        asyncio.run(work(Orders(url=stage.url, clients=1, errands=errands), written))
    return read_answers(book)


def recounted(stage: Stage, answers: list[Answer]) -> Recount:
    with stage.project() as project:
        return recount(project, stage.url, answers)


def test_what_adds_up_is_ok(stage: Stage, answers: list[Answer]) -> None:
    assert len(answers) == 9
    found = recounted(stage, answers)
    # A captured hold is a charge like any other, to the client and in history.
    assert (found.acknowledged, found.recorded, found.refused) == (3, 3, 2)
    assert found.ok, found


@pytest.mark.parametrize("verb", ["deduct", "refund", "reserve", "capture", "release"])
@pytest.mark.parametrize("what", ["id", "credits"])
def test_an_answer_without_its_row_is_missing(
    stage: Stage, answers: list[Answer], verb: str, what: str
) -> None:
    (place, *_) = [
        number for number, each in enumerate(answers) if each.verb == verb and each.id is not None
    ]
    told = list(answers)
    wrong = ids.new() if what == "id" else told[place].credits + 1
    told[place] = msgspec.structs.replace(told[place], **{what: wrong})
    found = recounted(stage, told)
    assert (found.missing, found.violations, found.ok) == (1, 1, False)


def test_a_capture_that_nobody_was_told_of_is_seen(stage: Stage, answers: list[Answer]) -> None:
    found = recounted(stage, [each for each in answers if each.verb != "capture"])
    assert (found.acknowledged, found.recorded, found.ok) == (2, 3, False)
