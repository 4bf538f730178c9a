"""Which grant paid: a charge names the one that paid it all, and has rows where several did."""

from __future__ import annotations

from uuid import UUID

import pytest

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    GrantTerms,
    deduct,
    deduct_many,
    grant,
    refund,
)
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import CHAT, assert_lawful, broken, new_account
from tests.world import World

NAMED = """
    SELECT h.key, g.key FROM credits.usage_history h
    LEFT JOIN credits.credit_grants g ON g.id = h.grant_id ORDER BY h.key
"""
PAID = """
    SELECT h.key, g.key, p.amount FROM credits.payments p
    JOIN credits.usage_history h ON h.id = p.usage_id
    JOIN credits.credit_grants g ON g.id = p.grant_id ORDER BY h.key, g.key
"""
AMOUNTS = {"1 of the first": 4, "2 of both": 4, "3 for nothing": 0, "4 of the second": 2}


async def charged(db: Database, many: bool) -> UUID:
    """An account of two grants of 6 and 10, charged so that one charge takes from both."""
    user = await new_account(db, 0)
    for nth, (key, amount) in enumerate({"first": 6, "second": 10}.items()):
        await grant(db, user, amount, key=key, terms=GrantTerms(priority=nth))
    charges = [
        Charge(user_id=user, operation=CHAT, key=key, amount=amount or None)
        for key, amount in AMOUNTS.items()
    ]
    if many:
        answers = list(await deduct_many(db, charges))
    else:
        answers = [
            await deduct(db, user, CHAT, key=each.key, amount=each.amount) for each in charges
        ]
    assert [type(answer) for answer in answers] == [Deducted] * len(AMOUNTS)
    return user


@pytest.fixture
def free_chat(world: World) -> None:
    """Chat costs nothing where the caller gives no amount."""
    as_owner(
        world.clone, "UPDATE credits.admin_settings SET feature_costs = '{\"AI_TEXT_CHAT\": 0}'"
    )


@pytest.mark.usefixtures("free_chat")
@pytest.mark.parametrize("many", [False, True])
def test_a_charge_names_the_grant_that_paid_it_all(world: World, many: bool) -> None:
    world.run(charged(world.db, many))
    named = ["first", None, None, "second"]
    assert ask(world.clone, NAMED) == list(zip(AMOUNTS, named, strict=True))
    assert ask(world.clone, PAID) == [
        ("1 of the first", "first", 4),
        ("2 of both", "first", 2),
        ("2 of both", "second", 2),
        ("4 of the second", "second", 2),
    ]
    assert ask(world.clone, "SELECT count(*) FROM credits.usage_allocations") == [(2,)]
    assert_lawful(world)


@pytest.mark.usefixtures("free_chat")
@pytest.mark.parametrize("key", ["1 of the first", "2 of both"])
def test_a_refund_goes_back_to_those_who_paid(world: World, key: str) -> None:
    world.run(charged(world.db, many=False))
    ((usage_id,),) = ask(world.clone, f"SELECT id FROM credits.usage_history WHERE key = '{key}'")
    world.run(refund(world.db, usage_id, key="back"))
    rows = ask(world.clone, PAID)
    paid = [(grant, amount) for charge, grant, amount in rows if charge == key]
    back = [(grant, -amount) for charge, grant, amount in rows if charge == "back"]
    assert back == paid
    assert_lawful(world)


FORGED = """
    INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,
        credits_used, action, key, balance_after, available_after, grant_id)
    SELECT gen_random_uuid(), b.user_id, b.id, 'AI_TEXT_CHAT', 1, 'deduct', 'forged', 1, 1, g.id
    FROM credits.credit_balances b, credits.credit_grants g
    WHERE g.credit_balance_id {} b.id AND g.key = 'bedplate:opening' LIMIT 1
"""


@pytest.mark.parametrize(("whose", "law"), [("=", "credits.E003"), ("<>", "credits.E005")])
def test_a_forged_charge_is_named(world: World, whose: str, law: str) -> None:
    for _ in range(2):
        world.run(new_account(world.db, 10))
    as_owner(world.clone, FORGED.format(whose))
    ((usage_id,),) = ask(world.clone, "SELECT id FROM credits.usage_history")
    found = broken(world.clone, world)
    assert {"credits.E001", law} <= found.keys()
    if law == "credits.E005":
        assert [row["usage_id"] for row in found[law]] == [str(usage_id)]
