"""Who may do what: a user with what is its own, the system with all, others where the app says."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from bedplate import Database, acting, errors
from bedplate.kernel import clock, ids
from bedplate.kernel.database import Writer
from bedplate.modules.credits import (
    AMOUNT_MAX,
    Deducted,
    GrantTerms,
    NotAuthorised,
    NotYourAccount,
    OperationType,
    deduct,
    feature_costs,
    grant,
    open_account,
    refund,
    set_feature_costs,
)
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import (
    CHAT,
    assert_lawful,
    broken,
    counted,
    new_account,
    new_user,
    stored,
)
from tests.modules.credits.scenarios import Scenario, charged, unless
from tests.sabotage import Guard
from tests.world import World


async def a_grant_to_oneself(world: World) -> set[str]:
    ada = await new_account(world.db, 100)
    with acting(ada):
        return await unless(NotAuthorised, grant(world.db, ada, 5, key="g"))


async def a_refund_to_another(world: World) -> set[str]:
    ada, grace = await new_account(world.db, 100), await new_account(world.db, 100)
    usage = await charged(world.db, grace, 10)
    with acting(ada):
        return await unless(NotYourAccount, refund(world.db, usage, key="r"))


async def a_grant_by_nobody(world: World) -> set[str]:
    ada = await new_account(world.db, 100)
    with acting(ids.new()):
        return await unless(errors.ActorUnknown, grant(world.db, ada, 5, key="g", authorised=True))


GUARDS: dict[str, Guard[Scenario]] = {
    "who may grant": Guard(
        a_grant_to_oneself,
        "Granted",
        function="grant_credits",
        part="NOT p_is_authorised AND credits.act(p_context) IS NOT NULL",
        instead="false",
    ),
    "whose charge it is": Guard(
        a_refund_to_another,
        "Refunded",
        function="refund",
        part="CASE WHEN NOT p_is_authorised THEN v_charge.operation_type END",
        instead="NULL",
    ),
    "who acts is a user": Guard(
        a_grant_by_nobody,
        "ForeignKeyViolation",
        function="require_actor",
        part="RAISE EXCEPTION",
        instead="RAISE NOTICE",
    ),
}


@pytest.mark.parametrize("scenario", [guard.scenario for guard in GUARDS.values()])
def test_with_every_guard_the_scenario_holds(world: World, scenario: Scenario) -> None:
    assert world.run(scenario(world)) == set()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GUARDS)
def test_without_the_guard_it_breaks_and_is_seen(world: World, name: str) -> None:
    guard = GUARDS[name]
    guard.take_away(world.clone, "credits")
    assert guard.seen in world.run(guard.scenario(world))  # type: ignore[arg-type]


@pytest.mark.parametrize("whose", ["ada", "grace"])
def test_who_acts_grants_to_nobody_unless_the_app_says_so(world: World, whose: str) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 100)
        user = {"ada": ada, "grace": grace}[whose]
        with acting(ada, request_id="r-1"):
            before = counted(world.clone)
            with pytest.raises(NotAuthorised):
                await grant(db, user, AMOUNT_MAX, key="k")
            async with db.transaction() as tx:
                with pytest.raises(NotAuthorised):
                    await grant(tx, user, AMOUNT_MAX, key="k")
            assert counted(world.clone) == before
            assert stored(world.clone, user) == (100, 0)
            done = await grant(db, user, 5, key="k", authorised=True)
            async with db.transaction() as tx:
                assert await grant(tx, user, 5, key="k", authorised=True) == done
        assert stored(world.clone, user) == (105, 0)
        actors = (
            "SELECT user_id, request_id FROM credits.audit_logs WHERE action = 'CREDITS_GRANTED'"
        )
        assert ask(world.clone, actors) == [(ada, "r-1")]

    world.run(body(world.db))
    assert_lawful(world)


def test_another_actor_s_charge_is_not_refunded_unless_the_app_says_so(world: World) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 100)
        ends = clock.now() + timedelta(hours=1)
        await grant(db, grace, 5, key="ends", terms=GrantTerms(expires_at=ends, priority=1))
        done = await deduct(db, grace, CHAT, key="k", amount=10)
        fixed = await deduct(db, grace, OperationType.ADMIN_ADJUSTMENT, key="a", amount=10)
        assert isinstance(done, Deducted)
        assert isinstance(fixed, Deducted)
        world.clock.advance(hours=2)
        before = counted(world.clone)
        with acting(ada):
            # Not even what is over in the account is ended for a stranger.
            with pytest.raises(NotYourAccount):
                await refund(db, done.usage_id, key="r")
            async with db.transaction() as tx:
                with pytest.raises(NotYourAccount):
                    await refund(tx, done.usage_id, key="r")
            assert counted(world.clone) == before
            assert (
                await refund(db, done.usage_id, key="r", amount=4, authorised=True)
            ).credits == 4
            assert (await refund(db, fixed.usage_id, key="s")).credits == 10
        with acting(grace):
            assert (await refund(db, done.usage_id, key="t")).credits == 6
        assert stored(world.clone, grace) == (100, 0)

    world.run(body(world.db))
    assert_lawful(world)


VERBS: dict[str, Callable[[Writer, Any, Any], Awaitable[Any]]] = {
    "grant": lambda on, user, usage: grant(on, user, 5, key="g", authorised=True),
    "refund": lambda on, user, usage: refund(on, usage, key="r", authorised=True),
    "adjust": lambda on, user, usage: deduct(
        on, user, OperationType.ADMIN_ADJUSTMENT, key="a", amount=5
    ),
    "open": lambda on, user, usage: open_account(on, user),
    "price": lambda on, user, usage: set_feature_costs(on, {CHAT: 7}),
}


@pytest.mark.parametrize("name", VERBS)
def test_who_acts_is_one_of_the_users(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        usage = await charged(db, user, 10)
        if name == "open":
            user = await new_user(db)
        before, costs = counted(world.clone), await feature_costs(db)
        for nobody in (ids.new(), "x"):
            with acting(nobody):
                with pytest.raises(errors.ActorUnknown, match="existing user"):
                    await VERBS[name](db, user, usage)
                with pytest.raises(errors.ActorUnknown):
                    async with db.transaction() as tx:
                        await VERBS[name](tx, user, usage)
        assert counted(world.clone) == before
        assert await feature_costs(db) == costs

    world.run(body(world.db))
    assert_lawful(world)


def test_who_sets_the_prices_is_named(world: World) -> None:
    async def body(db: Database) -> None:
        ada = await new_user(db)
        with acting(ada, request_id="r-1"):
            await set_feature_costs(db, {CHAT: 7})
            await set_feature_costs(db, {CHAT: 7})
            async with db.transaction() as tx:
                await set_feature_costs(tx, {})
        found = ask(
            world.clone,
            "SELECT action::text, entity_type, entity_id, user_id, request_id, changes"
            " FROM credits.audit_logs WHERE entity_type ILIKE 'admin%settings'"
            " AND action <> 'ROW_INSERTED' ORDER BY id",
        )
        states = [{"feature_costs": costs} for costs in (None, {"AI_TEXT_CHAT": 7}, {})]
        assert found == [
            (
                "FEATURE_COSTS_SET",
                "AdminSettings",
                "singleton",
                ada,
                "r-1",
                {"before": before, "after": after},
            )
            for before, after in itertools.pairwise(states)
        ]

    world.run(body(world.db))


def test_prices_are_set_where_the_row_of_settings_is_gone(world: World) -> None:
    as_owner(world.clone, "DELETE FROM credits.admin_settings")
    assert "credits.E008" in broken(world.clone, world)
    world.run(set_feature_costs(world.db, {CHAT: 7}))
    assert_lawful(world)
    assert world.run(feature_costs(world.db))[CHAT] == 7
