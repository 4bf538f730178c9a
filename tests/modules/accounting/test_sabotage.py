"""Each guard matters: with it a scenario holds; taken away, the same scenario breaks, and is seen.

The guards overlap on purpose. Where two stand behind one another, the second still stops the harm
when the first is gone, and what is seen is that the answer is no longer the one that was promised.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.accounting import row_guards, scenarios
from tests.modules.accounting.row_guards import ALTER, DROP, UNLOCKED
from tests.modules.accounting.scenarios import Scenario
from tests.sabotage import Guard
from tests.spares import Spares
from tests.world import World

DEFINITIONS = """
SELECT pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = 'accounting'::regnamespace OR p.oid = 'bedplate.next_numbers'::regproc
UNION ALL
SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname,
              pg_get_constraintdef(c.oid))
FROM pg_constraint c WHERE c.connamespace = 'accounting'::regnamespace AND c.conrelid <> 0
UNION ALL
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'accounting'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
UNION ALL
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'accounting'::regnamespace AND NOT t.tgisinternal
"""


@pytest.fixture(scope="module")
def workbench(spares: Spares) -> Iterator[Clone]:
    """One database for all of them: what was taken away is put back."""
    clone = spares.take()
    yield clone
    spares.give_back(clone)


@pytest.fixture
def bedplate_clone(
    workbench: Clone, spares: Spares, bedplate_clock: FrozenClock
) -> Iterator[Clone]:
    before = ask(workbench, DEFINITIONS)
    with bedplate_clock.ruling(workbench.owner_url):
        yield workbench
    spares.empty(workbench)
    with psycopg.connect(workbench.owner_url) as owner:
        owner.execute(PRIVILEGES_BACK.encode())
        for (definition,) in set(before) - set(ask(workbench, DEFINITIONS)):
            owner.execute(definition.encode())


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the guards are the server's."""
    return world


# What many products number with: a sequence, which no rollback turns back.
SEQUENCE = """
CREATE SEQUENCE bedplate.hasty;
CREATE OR REPLACE FUNCTION bedplate.next_numbers(p_series text, p_period text, p_count bigint)
    RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('bedplate.hasty') $$
"""
# And the other way: one more than the largest that can be seen.
LARGEST = """
CREATE OR REPLACE FUNCTION bedplate.next_numbers(p_series text, p_period text, p_count bigint)
    RETURNS bigint LANGUAGE sql AS $$
        SELECT coalesce(max(substr(i.invoice_number, 9)::bigint), 0) + 1
        FROM accounting.invoices i WHERE left(i.invoice_number, 8) = p_period $$
"""
# The last billed day and a month, as a first sketch has it.
DRIFTING = """
CREATE OR REPLACE FUNCTION accounting.billing_dates(
    p_template accounting.recurring_invoices, p_through date) RETURNS SETOF date
    LANGUAGE sql AS $$
        SELECT d::date FROM generate_series(
            coalesce(p_template.last_generated_date + interval '1 month',
                     date_trunc('month', p_template.start_date) + interval '1 month - 1 day'),
            p_through, interval '1 month') AS d $$
"""
# Each billing day after the last that was billed, whichever month it is in.
TWICE_A_MONTH = """
CREATE OR REPLACE FUNCTION accounting.billing_dates(
    p_template accounting.recurring_invoices, p_through date) RETURNS SETOF date
    LANGUAGE sql AS $$
        SELECT m::date + p_template.day_of_month - 1 FROM generate_series(
            date_trunc('month', p_template.start_date::timestamp), p_through,
            interval '1 month') AS m
        WHERE m::date + p_template.day_of_month - 1 BETWEEN
            coalesce(p_template.last_generated_date + 1, p_template.start_date) AND p_through $$
"""
NO_MONTH = "DROP INDEX accounting.uq_invoices_recurring_invoice_id_month"
FREE_LOG = """
GRANT UPDATE, DELETE ON accounting.audit_logs TO PUBLIC;
ALTER TABLE accounting.audit_logs DISABLE TRIGGER USER
"""
PRIVILEGES_BACK = """
REVOKE UPDATE, DELETE ON accounting.audit_logs FROM PUBLIC;
ALTER TABLE accounting.audit_logs ENABLE TRIGGER USER
"""
NO_RULES = ";".join(
    ALTER.format("invoices", f"ck_invoices_{rule}")
    for rule in ("paid_amount", "refunded_amount", "status")
)
NO_STATUS = ALTER.format("invoices", "ck_invoices_status")
ANY_NUMBER = """
CREATE OR REPLACE FUNCTION accounting.require_given(p_numbers text[], p_day date) RETURNS void
    LANGUAGE sql AS ''
"""
NO_RIGHTS = {
    "part": "NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'MEMBER')",
    "instead": "false",
}
NO_TEMPLATE = """
DO $do$ BEGIN
    EXECUTE replace(pg_get_functiondef('accounting.guard_invoice'::regproc),
                    'NEW.recurring_invoice_id IS NOT NULL', 'false');
END $do$
"""
NO_MONTH_BILLED = f"""
{NO_MONTH};
DO $do$ BEGIN
    EXECUTE replace(replace(pg_get_functiondef('accounting.run_recurring'::regproc),
        'r.last_generated_date < date_trunc(''month'', p_through::timestamp)', 'true'),
        't.billed_by IS NULL', 'true');
END $do$
"""
NO_ARROWS = {
    "function": "guard_invoice",
    "part": "NOT accounting.may_become(OLD.status, NEW.status)",
    "instead": "false",
}

GUARDS: dict[str, Guard[Scenario]] = {
    "the counter, for a sequence": Guard(
        scenarios.numbers_while_one_rolls_back, "a gap", statement=SEQUENCE
    ),
    "the counter, for the largest": Guard(
        scenarios.numbers_while_one_rolls_back, "uq_invoices_invoice_number", statement=LARGEST
    ),
    "the counter, for the largest, and the key of numbers": Guard(
        scenarios.numbers_while_one_rolls_back,
        "a gap",
        statement=f"{LARGEST};{ALTER.format('invoices', 'uq_invoices_invoice_number')}",
    ),
    "the rule of given numbers": Guard(
        scenarios.a_number_of_ones_own,
        "accepted",
        statement=ANY_NUMBER,
    ),
    "an invoice begins as a draft": Guard(
        scenarios.issued_as_it_begins, "number", function="guard_born", **NO_RIGHTS
    ),
    "an invoice begins as a draft, and the rule of given numbers": Guard(
        scenarios.issued_as_it_begins,
        "done",
        statement=ANY_NUMBER,
        function="guard_born",
        **NO_RIGHTS,
    ),
    "what begins is untouched": Guard(
        scenarios.issued_as_it_begins,
        "ck_invoices_status",
        statement=DROP.format("invoices", "draft"),
    ),
    "the rule of given numbers, for the run": Guard(
        scenarios.issued_by_the_owner, "done", statement=ANY_NUMBER
    ),
    "an invoice is issued now": Guard(
        scenarios.issued_by_the_owner,
        "done",
        function="guard_born",
        part="b.issued_date NOT BETWEEN bedplate.now() AND bedplate.clock()",
        instead="false",
    ),
    "a number comes with the issue": Guard(
        scenarios.a_number_of_ones_own,
        "accepted",
        function="guard_invoice",
        part="NEW.status <> 'ISSUED'\n",
        instead="false\n",
    ),
    "the arrows": Guard(scenarios.a_draft_that_is_overdue, "ck_invoices_status", **NO_ARROWS),
    "the arrows and the rule of the status": Guard(
        scenarios.a_draft_that_is_overdue, "done", statement=NO_STATUS, **NO_ARROWS
    ),
    "what an invoice bills is fixed": Guard(
        scenarios.other_money_on_an_issued_invoice,
        "accepted",
        function="guard_invoice",
        part="OR OLD.status <> 'DRAFT'\n",
        instead="OR false\n",
    ),
    "the rule of the status": Guard(
        scenarios.paid_without_a_payment,
        "accounting.E004",
        statement=NO_STATUS,
    ),
    "sums are of their rows": Guard(
        scenarios.paid_without_a_payment,
        "accounting.E001",
        function="guard_invoice",
        part="NEW.paid_amount <> OLD.paid_amount AND",
        instead="false AND",
    ),
    "the due date": Guard(
        scenarios.overdue_on_its_last_day,
        "accepted",
        function="guard_invoice",
        part="NEW.due_date >= v_day",
        instead="false",
    ),
    "the status that goes with the due date": Guard(
        scenarios.overdue_with_a_day_to_come,
        "accounting.E009",
        function="guard_invoice",
        part="OLD.status = 'OVERDUE' AND NEW.status = 'OVERDUE'",
        instead="false",
    ),
    "the zone of the billing day": Guard(
        scenarios.the_day_of_another_zone,
        "another day",
        statement="CREATE OR REPLACE FUNCTION accounting.billing_day(p_at timestamptz) RETURNS date"
        " LANGUAGE sql STABLE RETURN (p_at AT TIME ZONE 'UTC')::date",
    ),
    "the invoice's lock": Guard(
        scenarios.two_payments_of_one_invoice,
        "ck_invoices_paid_amount",
        function="allocate",
        **UNLOCKED,
    ),
    "the invoice's lock and the rules behind it": Guard(
        scenarios.two_payments_of_one_invoice,
        "overpaid",
        statement=NO_RULES,
        function="allocate",
        **UNLOCKED,
    ),
    "the row that stands for a payment": Guard(
        scenarios.one_payment_for_two_invoices,
        "accounting.E003",
        function="allocate",
        part="DO UPDATE SET amount_allocated = a.amount_allocated + NEW.amount_paid",
        instead="DO UPDATE SET amount_allocated = NEW.amount_paid",
    ),
    "what came in": Guard(
        scenarios.a_payment_of_more_than_came_in,
        "accepted",
        function="allocate",
        part="v_allocated > v_paid.amount",
        instead="false",
    ),
    "who paid": Guard(
        scenarios.anothers_payment,
        "accepted",
        function="allocate",
        part="v_paid.payer IS DISTINCT FROM v_invoice.user_id",
        instead="false",
    ),
    "the order of the locks": Guard(
        scenarios.removed_and_paid_again_at_once,
        "deadlock",
        function="allocate",
        part="PERFORM FROM accounting.invoices i WHERE i.id = OLD.invoice_id FOR NO KEY UPDATE;",
    ),
    "the lock of refunds": Guard(
        scenarios.refunds_of_one_invoice,
        "ck_invoices_refunded_amount",
        function="refund",
        **UNLOCKED,
    ),
    "the lock of refunds and the rules behind it": Guard(
        scenarios.refunds_of_one_invoice,
        "gave too much",
        statement=NO_RULES,
        function="refund",
        **UNLOCKED,
    ),
    "the customer's row": Guard(
        scenarios.prices_on_the_same_days,
        "accounting.E006",
        function="guard_price",
        part="INSERT INTO accounting.billed_customers AS c (user_id, price_changes)"
        " VALUES (NEW.user_id, 1)\n"
        "    ON CONFLICT (user_id) DO UPDATE SET price_changes = c.price_changes + 1;",
    ),
    "a price is never rewritten": Guard(
        scenarios.a_price_rewritten,
        "accepted",
        statement=DROP.format("customer_pricing_config", "guard"),
    ),
    "one invoice per template and month": Guard(
        scenarios.a_second_invoice_of_a_month, "accepted", statement=NO_MONTH
    ),
    "one invoice per template and month, and the template's lock": Guard(
        scenarios.two_runs,
        "billed twice",
        statement=NO_MONTH,
        function="run_recurring",
        part="FOR NO KEY UPDATE SKIP LOCKED",
    ),
    "the anchor": Guard(scenarios.the_anchor, "drifted", statement=DRIFTING),
    "the months behind": Guard(
        scenarios.a_month_whose_day_was_moved,
        "billed twice",
        statement=f"{NO_MONTH_BILLED};{TWICE_A_MONTH}",
    ),
    "the most months to catch up with": Guard(
        scenarios.a_template_from_years_ago,
        "billed for years",
        function="foreseen",
        part="count(*) OVER whole",
        instead="0",
    ),
    "who drafts for a template takes it first": Guard(
        scenarios.a_month_drafted_while_the_run_waits, "40001", statement=NO_TEMPLATE
    ),
    "who drafts for a template takes it first, and no number goes unused": Guard(
        scenarios.a_month_drafted_while_the_run_waits,
        "accounting.E005",
        statement=NO_TEMPLATE,
        function="run_recurring",
        part="p_issue AND v_missed > 0",
        instead="false",
    ),
    "the cursor": Guard(
        scenarios.some_who_wait_for_a_price,
        "starved",
        function="run_recurring",
        part="(p_after IS NULL OR r.id > p_after)",
        instead="true",
    ),
    "the log is append only": Guard(scenarios.history_rewritten, "accepted", statement=FREE_LOG),
    "the log is written by the database": Guard(
        scenarios.issued_by_raw_sql,
        "not audited",
        statement=DROP.format("invoices", "log_update"),
    ),
    **row_guards.GUARDS,
}
# All triggers of ours, each with its function, and all unique keys. Primary keys are left out:
# without one there is no row to speak of, and nothing of ours works.
STANDING = """
SELECT t.tgname, p.pronamespace::regnamespace || '.' || p.proname
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.relnamespace = 'accounting'::regnamespace AND NOT t.tgisinternal
UNION ALL
SELECT c.relname, '' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'accounting'::regnamespace
  AND (i.indisunique AND NOT i.indisprimary OR i.indisexclusion)
"""


@pytest.mark.parametrize("scenario", {guard.scenario: None for guard in GUARDS.values()})
def test_with_every_guard_the_scenario_holds(world: World, scenario: Scenario) -> None:
    assert scenario(world) == set()


@pytest.mark.parametrize("name", GUARDS)
def test_without_the_guard_it_breaks_and_is_seen(world: World, name: str) -> None:
    guard = GUARDS[name]
    guard.take_away(world.clone, "accounting")
    assert guard.seen in guard.scenario(world)


def test_nothing_stands_guard_that_was_never_taken_away(world: World) -> None:
    """By name, or by a part of its function."""
    statements = " ".join(guard.statement for guard in GUARDS.values())
    functions = {f"accounting.{guard.function}" for guard in GUARDS.values()}
    standing = ask(world.clone, STANDING)
    assert len(standing) > 30
    assert [name for name, way in standing if name not in statements and way not in functions] == []
