"""Each guard matters: with it a scenario holds; taken away, the same scenario breaks, and is seen.

The guards overlap on purpose. Where two stand behind one another, the second still stops the harm
when the first is gone, and what is seen is that the answer is no longer the one that was promised.
"""

from __future__ import annotations

import pytest

from tests.modules.credits import scenarios
from tests.modules.credits.scenarios import Scenario
from tests.sabotage import Guard
from tests.world import World


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the guards are the server's."""
    return world


ALTER = "ALTER TABLE credits.{} DROP CONSTRAINT {}"
NO_KEY = ALTER.format("usage_history", "uq_usage_history_credit_balance_id_key")
NO_LAW = "DROP TRIGGER tr_usage_history_refundable ON credits.usage_history"
UNLOCKED = {"function": "lock_account", "part": " FOR NO KEY UPDATE", "instead": ""}
FORGETFUL = {"function": "deduct", "part": "h.key = p_key", "instead": "false"}
GENEROUS = {
    "function": "refund",
    "part": "credits < 1 OR credits > v_left",
    "instead": "false",
}

NO_HOLD_KEY = ALTER.format("credit_holds", "uq_credit_holds_credit_balance_id_key")
NO_GRANT_KEY = ALTER.format("credit_grants", "uq_credit_grants_credit_balance_id_key")


def blind(function: str, part: str, instead: str = "false") -> dict[str, str]:
    """A function that does not look at something."""
    return {"function": function, "part": part, "instead": instead}


GUARDS: dict[str, Guard[Scenario]] = {
    "the account's lock, for charges": Guard(
        scenarios.two_charges_at_once, "lost update", **UNLOCKED
    ),
    "the account's lock, for replays": Guard(
        scenarios.a_replay_at_once, "UniqueViolation", **UNLOCKED
    ),
    "the account's lock and the key": Guard(
        scenarios.a_replay_at_once, "charged twice", statement=NO_KEY, **UNLOCKED
    ),
    "the account's lock, for refunds": Guard(
        scenarios.refunds_at_once, "CheckViolation", **UNLOCKED
    ),
    "the account's lock and the law of refunds": Guard(
        scenarios.refunds_at_once, "credits.E006", statement=NO_LAW, **UNLOCKED
    ),
    "looking the key up": Guard(scenarios.a_replay, "UniqueViolation", **FORGETFUL),
    "looking the key up, and the key": Guard(
        scenarios.a_replay, "charged twice", statement=NO_KEY, **FORGETFUL
    ),
    "the key": Guard(scenarios.a_second_row_under_a_key, "credits.E001", statement=NO_KEY),
    "whether the key is of this operation": Guard(
        scenarios.a_key_of_another_operation,
        "Deducted",
        **blind("deduct", "v_done.operation_type = p_operation", "true"),
    ),
    "whether the key is of this amount": Guard(
        scenarios.a_key_of_another_amount,
        "Deducted",
        **blind("deduct", "p_amount = v_done.credits_used", "true"),
    ),
    "an amount of one or more": Guard(
        scenarios.a_charge_of_nothing, "accepted", **blind("deduct", "p_amount < 1")
    ),
    "looking the keys of a batch up": Guard(
        scenarios.a_replay_in_a_batch,
        "UniqueViolation",
        **blind("deduct_many", "h.key = q.key"),
    ),
    "looking the keys of a batch up, and the key": Guard(
        scenarios.a_replay_in_a_batch,
        "charged twice",
        statement=NO_KEY,
        **blind("deduct_many", "h.key = q.key"),
    ),
    "looking the refusals of a batch up": Guard(
        scenarios.a_refused_key_in_a_batch,
        "1 deducted",
        **blind("deduct_many", "k.key = q.key"),
    ),
    "looking for a key twice in a batch": Guard(
        scenarios.one_key_twice_in_a_batch,
        "UniqueViolation",
        **blind("deduct_many", "v_first[r.place] < r.place"),
    ),
    "looking for a key twice in a batch, and the key": Guard(
        scenarios.one_key_twice_in_a_batch,
        "charged twice",
        statement=NO_KEY,
        **blind("deduct_many", "v_first[r.place] < r.place"),
    ),
    "looking a hold's key up": Guard(
        scenarios.a_hold_asked_for_again, "UniqueViolation", **blind("reserve", "h.key = p_key")
    ),
    "looking a hold's key up, and the key": Guard(
        scenarios.a_hold_asked_for_again,
        "held twice",
        statement=NO_HOLD_KEY,
        **blind("reserve", "h.key = p_key"),
    ),
    "the funds of a hold": Guard(
        scenarios.a_hold_beyond_the_balance,
        "CheckViolation",
        **blind("reserve", "available < credits"),
    ),
    "looking a grant's key up": Guard(
        scenarios.a_grant_asked_for_again,
        "UniqueViolation",
        **blind("grant_credits", "g.key = p_key"),
    ),
    "looking a grant's key up, and the key": Guard(
        scenarios.a_grant_asked_for_again,
        "granted twice",
        statement=NO_GRANT_KEY,
        **blind("grant_credits", "g.key = p_key"),
    ),
    "whether a grant is over": Guard(
        scenarios.a_grant_that_is_over,
        "Granted",
        **blind("grant_credits", "p_expires_at <= v_account.at"),
    ),
    "looking a refund's key up": Guard(
        scenarios.a_refund_asked_for_again, "UniqueViolation", **blind("refund", "h.key = p_key")
    ),
    "looking a refund's key up, and the key": Guard(
        scenarios.a_refund_asked_for_again,
        "refunded twice",
        statement=NO_KEY,
        **blind("refund", "h.key = p_key"),
    ),
    "the funds": Guard(
        scenarios.a_charge_beyond_the_balance,
        "CheckViolation",
        function="deduct",
        part="credits <= available",
        instead="true",
    ),
    "the funds of a batch": Guard(
        scenarios.a_batch_beyond_the_balance,
        "CheckViolation",
        function="deduct_many",
        part="a_free[r.n] < v_cost",
        instead="false",
    ),
    "what is held": Guard(
        scenarios.a_charge_of_what_is_held,
        "CheckViolation",
        function="deduct",
        part="available := v_account.remaining - v_account.held",
        instead="available := v_account.remaining",
    ),
    "keeping a refusal": Guard(
        scenarios.a_retry_after_a_top_up,
        "Deducted",
        function="refuse",
        part="VALUES (p_user_id, p_action, p_key,",
        instead="VALUES (p_user_id, p_action, gen_random_uuid()::text,",
    ),
    "what is left to refund": Guard(scenarios.a_refund_of_too_much, "CheckViolation", **GENEROUS),
    "what is left to refund, and the law": Guard(
        scenarios.a_refund_of_too_much, "credits.E006", statement=NO_LAW, **GENEROUS
    ),
    "the law of refunds": Guard(scenarios.a_refund_by_raw_sql, "credits.E006", statement=NO_LAW),
    "a hold's end": Guard(
        scenarios.a_hold_that_ends_twice,
        "CheckViolation",
        function="capture",
        part="v_hold.state <> 'OPEN' OR v_hold.expires_at <= v_account.at",
        instead="false",
    ),
    "a hold's amount": Guard(
        scenarios.a_capture_of_more_than_is_held,
        "credits.E005",
        function="capture",
        part="p_amount < 1 OR credits > v_hold.amount",
        instead="false",
    ),
    "the instant of expiry": Guard(
        scenarios.an_expired_grant,
        "CheckViolation",
        function="lock_account",
        part="v_due <= at",
        instead="false",
    ),
    "whose account it is": Guard(
        scenarios.another_s_account,
        "Deducted",
        function="lock_account",
        part="v_actor <> p_user_id::text",
        instead="false",
    ),
    "whose account it is, of each that goes together": Guard(
        scenarios.another_s_account_among_its_own_charges,
        "DEDUCTED",
        function="deduct_many",
        part="v_actor := nullif(p_contexts -> r.place::int - 1 ->> 'actor', '')",
        instead="v_actor := nullif(p_contexts -> 0 ->> 'actor', '')",
    ),
    "the order of the locks": Guard(
        scenarios.batches_in_opposite_orders,
        "Deadlock",
        function="deduct_many",
        part="GROUP BY q.user_id ORDER BY q.user_id",
        instead="GROUP BY q.user_id ORDER BY min(q.place)",
        slower="n := n + 1;",
    ),
    "the balance's rule": Guard(
        scenarios.a_negative_balance,
        "credits.E001",
        statement=";".join(
            ALTER.format("credit_balances", f"ck_credit_balances_{rule}")
            for rule in ("remaining", "held")
        ),
    ),
    "a grant's rule": Guard(
        scenarios.a_grant_that_is_overdrawn,
        "credits.E003",
        statement=";".join(
            ALTER.format("credit_grants", f"ck_credit_grants_{rule}")
            for rule in ("remaining", "held")
        ),
    ),
    "append only": Guard(
        scenarios.history_rewritten,
        "credits.E001",
        statement="DROP TRIGGER tr_usage_history_append_only ON credits.usage_history",
    ),
    "the app's privileges": Guard(
        scenarios.a_balance_set_by_the_app,
        "credits.E001",
        statement="GRANT UPDATE ON credits.credit_balances TO PUBLIC",
    ),
    "the opening's grant": Guard(
        scenarios.an_account_without_a_grant,
        "credits.E001",
        statement="DROP TRIGGER tr_credit_balances_opening ON credits.credit_balances",
    ),
}


@pytest.mark.parametrize("scenario", {guard.scenario: None for guard in GUARDS.values()})
def test_with_every_guard_the_scenario_holds(world: World, scenario: Scenario) -> None:
    assert world.run(scenario(world)) == set()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GUARDS)
def test_without_the_guard_it_breaks_and_is_seen(world: World, name: str) -> None:
    guard = GUARDS[name]
    guard.take_away(world.clone, "credits")
    assert guard.seen in world.run(guard.scenario(world))  # type: ignore[arg-type]
