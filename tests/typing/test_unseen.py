"""What no type checker sees is an error of ours when it runs, and changes nothing."""

from __future__ import annotations

import pytest

from bedplate import BedplateError, Database
from bedplate.modules.auth import User, users
from bedplate.modules.auth.samples import sample_users
from tests.typing import unseen
from tests.world import World


@pytest.mark.parametrize("world", ["async"], indirect=True)
def test_what_no_checker_sees_raises_when_it_runs(world: World) -> None:
    user = world.run(users.create(world.db, sample_users()[0]))
    refused: dict[str, str] = {}
    calls = unseen.calls(world.db, user.id)
    for what, call in calls.items():

        async def attempt() -> None:
            await call()  # noqa: B023  It runs before the next one is taken.

        try:
            world.run(attempt())
        except BedplateError as error:
            refused[what] = error.next_step
    assert refused.keys() == calls.keys()
    assert all(refused.values()), "each says what to do"
    assert world.run(_values(world.db)) == [_fields(user)]


async def _values(db: Database) -> list[dict[str, object]]:
    return [_fields(user) for user in await users.list(db)]


def _fields(user: User) -> dict[str, object]:
    return {name: value for name, value in user.__dict__.items() if not name.startswith("_")}
