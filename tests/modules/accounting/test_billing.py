"""What all invoices share: settings that no page could show are refused, by SQL too."""

from __future__ import annotations

import psycopg
import pytest

from bedplate.modules.accounting import SettingInvalid, billing_settings, set_billing, set_seller
from tests.world import World


def test_what_is_left_out_stays(world: World) -> None:
    async def body() -> tuple[str, str, str]:
        await set_seller(world.db, "Norður ehf.", currency="ISK")
        await set_billing(world.db, time_zone="Atlantic/Reykjavik")
        found = await billing_settings.get(world.db, "singleton")
        return found.seller, found.currency, found.time_zone

    assert world.run(body()) == ("Norður ehf.", "ISK", "Atlantic/Reykjavik")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (("", "euro"), "currency"),
        (("x" * 1001, ""), "seller"),
        (("a\0b", ""), "seller"),
    ],
)
def test_a_seller_or_currency_that_no_page_could_show_is_refused(
    world: World, wrong: tuple[str, str], rule: str
) -> None:
    with pytest.raises(SettingInvalid) as refused:
        world.run(set_seller(world.db, wrong[0], currency=wrong[1]))
    assert refused.value.rule == rule


@pytest.mark.parametrize("values", ["'eur', ''", "'EUR', repeat('x', 1001)"])
def test_sql_cannot_set_them_either(world: World, values: str) -> None:
    insert = f"INSERT INTO accounting.billing_settings (currency, seller) VALUES ({values})"
    with psycopg.connect(world.clone.url) as app, pytest.raises(psycopg.errors.CheckViolation):
        app.execute(insert.encode())
