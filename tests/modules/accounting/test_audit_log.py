"""The audit log of accounting: an entry for every action, whoever acts and however."""

from __future__ import annotations

import re

from bedplate import Database
from bedplate.modules.accounting import issue_invoice
from tests.modules.accounting.business import ask, customer, drafted
from tests.world import World


def test_the_audit_log_says_who_did_what(world: World) -> None:
    async def body(db: Database) -> object:
        who = await customer(db)
        draft = await drafted(db, who)
        async with db.transaction(actor=who.by) as tx:
            await issue_invoice(tx, draft.id, by=who.by)
        return who.by

    by = world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT action::text, user_id, actor_type, changes -> 'after' ->> 'status', description"
        " FROM accounting.audit_logs ORDER BY created_at",
    )
    assert [row[:4] for row in rows] == [
        ("INVOICE_CREATED", None, "SYSTEM", "DRAFT"),
        ("INVOICE_ISSUED", by, "USER", "ISSUED"),
    ]
    assert re.fullmatch(r"Invoice \d{10} went from DRAFT to ISSUED", rows[1][4])
