"""What keeps the rows' promises, taken away: see test_sabotage.py."""

from __future__ import annotations

from tests.modules.accounting import row_scenarios, scenarios
from tests.modules.accounting.row_scenarios import AUDITED, NOTED
from tests.modules.accounting.scenarios import Scenario
from tests.sabotage import Guard

DROP = "DROP TRIGGER tr_{0}_{1} ON accounting.{0}"
ALTER = "ALTER TABLE accounting.{} DROP CONSTRAINT {}"
# Behind the lock of whoever checks comes that of whoever adds up, which sees what came meanwhile.
UNLOCKED = {"part": " FOR NO KEY UPDATE", "instead": ""}
SETTLED_UNLOCKED = """
DO $do$ BEGIN
    EXECUTE replace(pg_get_functiondef('accounting.settle_{}'::regproc),
                    ' FOR NO KEY UPDATE', '');
END $do$
"""

GUARDS: dict[str, Guard[Scenario]] = {
    "what a template has billed, and its end": Guard(
        row_scenarios.a_template_rewritten,
        "accepted",
        statement=DROP.format("recurring_invoices", "guard"),
    ),
    "a pause begins and ends with is_active": Guard(
        row_scenarios.a_pause_by_raw_sql,
        "billed a pause",
        statement=DROP.format("recurring_invoices", "pause"),
    ),
    "one pause at a time": Guard(
        row_scenarios.two_pauses_at_once,
        "accepted",
        statement="DROP INDEX accounting.uq_template_pauses_open",
    ),
    "a document is made once": Guard(
        row_scenarios.a_document_rewritten,
        "accepted",
        statement=DROP.format("invoice_documents", "guard"),
    ),
    "a document comes with the issue": Guard(
        row_scenarios.issued_without_a_document,
        "accounting.E007",
        statement=DROP.format("invoices", "documents_update"),
    ),
    "a document comes with the issue, for the run": Guard(
        row_scenarios.issued_without_a_document,
        "accounting.E007",
        statement=DROP.format("invoices", "documents_insert"),
    ),
    "a message keeps to its transitions": Guard(
        row_scenarios.a_message_unsent,
        "accepted",
        statement=DROP.format("invoice_notifications", "guard"),
    ),
    "one message per stage": Guard(
        row_scenarios.a_message_twice,
        "accepted",
        statement=ALTER.format("invoice_notifications", "uq_invoice_notifications_once"),
    ),
    "what is older than the setting is not mailed": Guard(
        row_scenarios.mail_of_what_is_older,
        "mails what is older",
        statement=DROP.format("billing_settings", "from"),
    ),
    "one allocation of a payment per invoice": Guard(
        row_scenarios.one_payment_twice_on_one_invoice,
        "accepted",
        statement=ALTER.format(
            "invoice_payments", "uq_invoice_payments_invoice_id_cost_payment_id"
        ),
    ),
    "one refund per key": Guard(
        row_scenarios.one_refund_twice,
        "accepted",
        statement=ALTER.format("invoice_refunds", "uq_invoice_refunds_invoice_id_key"),
    ),
    "payments are added up": Guard(
        row_scenarios.a_paid_invoice,
        "accounting.E001",
        statement=DROP.format("invoice_payments", "settle"),
    ),
    "refunds are added up": Guard(
        row_scenarios.a_paid_invoice,
        "accounting.E002",
        statement=DROP.format("invoice_refunds", "settle"),
    ),
    "the invoice's lock, and that of adding up": Guard(
        scenarios.two_payments_of_one_invoice,
        "overpaid",
        statement=SETTLED_UNLOCKED.format("payment"),
        function="allocate",
        **UNLOCKED,
    ),
    "the lock of refunds, and that of adding up": Guard(
        scenarios.refunds_of_one_invoice,
        "gave too much",
        statement=SETTLED_UNLOCKED.format("refund"),
        function="refund",
        **UNLOCKED,
    ),
    "one price from a day on, behind the guard of prices": Guard(
        row_scenarios.two_prices_from_one_day,
        "accepted",
        statement=";".join(
            (
                DROP.format("customer_pricing_config", "guard"),
                ALTER.format(
                    "customer_pricing_config",
                    "uq_customer_pricing_config_user_id_effective_from",
                ),
            )
        ),
    ),
    "refunds are append only": Guard(
        row_scenarios.rewritten_by_the_owner,
        "accepted",
        statement=DROP.format("invoice_refunds", "append_only"),
    ),
    "the log is append only, for the owner": Guard(
        row_scenarios.rewritten_by_the_owner,
        "accepted",
        statement=DROP.format("audit_logs", "append_only"),
    ),
    "what the log tells of is never emptied": Guard(
        row_scenarios.emptied_by_the_owner,
        "accepted",
        # The one goes with the other, so that each of them stands in the way of all.
        statement=";".join(
            (
                DROP.format("invoice_refunds", "append_only"),
                *(DROP.format(table, "no_truncate") for table in AUDITED),
            )
        ),
    ),
    **{
        f"the log of every {event} of {table}": Guard(
            row_scenarios.everything_noted,
            f"{action} is not noted",
            statement=DROP.format(table, f"log_{event}"),
        )
        for (table, event), action in NOTED.items()
    },
}
