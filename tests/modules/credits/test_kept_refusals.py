"""CR3: a refusal stays refused; no raw SQL of the app's role lets its key be charged again."""

from __future__ import annotations

import psycopg
import pytest

from bedplate import Database
from bedplate.modules.credits import Refused, deduct, grant
from tests.modules.credits.accounts import CHAT, new_account
from tests.world import World

REFUSED_KEY = "bedplate.idempotency_keys"


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM {REFUSED_KEY}",
        f"UPDATE {REFUSED_KEY} SET answer = NULL",
        f"UPDATE {REFUSED_KEY} SET answer = answer || '{{\"needed\": 0}}'",
        f"UPDATE {REFUSED_KEY} SET key = 'other'",
        f"UPDATE {REFUSED_KEY} SET request_hash = ''",
        f"UPDATE {REFUSED_KEY} SET expires_at = bedplate.now() - interval '1 day'",
        f"TRUNCATE {REFUSED_KEY}",
        f"ALTER TABLE {REFUSED_KEY} DISABLE TRIGGER ALL",
        f"INSERT INTO {REFUSED_KEY} SELECT * FROM {REFUSED_KEY}"
        " ON CONFLICT (user_id, action, key) DO UPDATE SET answer = NULL",
    ],
)
def test_a_refusal_stays_refused_whatever_the_app_s_role_tries(
    world: World, statement: str
) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 10)
        refused = await deduct(db, user, CHAT, key="k", amount=500)
        assert isinstance(refused, Refused)
        await grant(db, user, 1_000, key="g")
        with psycopg.connect(world.clone.url) as app, pytest.raises(psycopg.Error) as stopped:
            app.execute(statement.encode())
        assert stopped.value.sqlstate in {"BP001", "42501"}
        assert await deduct(db, user, CHAT, key="k", amount=500) == refused

    world.run(body(world.db))
