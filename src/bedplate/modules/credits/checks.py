"""The conservation laws of credits, recounted from the rows (CR2, CR9)."""

from __future__ import annotations

from sqlalchemy import func, select

from bedplate.kernel.checks import Check
from bedplate.modules.auth import User
from bedplate.modules.credits.models import CreditBalance

RESTORE = "Find who changed the rows in the audit log, and restore them from a backup."

CHECKS = (
    Check(
        id="credits.E001",
        title="granted - used - expired = remaining, for every account",
        query="""
            SELECT b.id AS credit_balance_id, b.user_id, b.credits_remaining,
                   coalesce(l.amount, 0) AS recounted
            FROM credits.credit_balances b
            LEFT JOIN (SELECT credit_balance_id, sum(amount) AS amount FROM credits.ledger
                       GROUP BY credit_balance_id) l ON l.credit_balance_id = b.id
            WHERE b.credits_remaining <> coalesce(l.amount, 0)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E002",
        title="what accounts hold is the sum of their open holds, and never more than they have",
        query="""
            SELECT b.id AS credit_balance_id, b.user_id, b.credits_held,
                   coalesce(h.amount, 0) AS recounted
            FROM credits.credit_balances b
            LEFT JOIN (SELECT credit_balance_id, sum(amount) AS amount FROM credits.credit_holds
                       WHERE state = 'OPEN' GROUP BY credit_balance_id) h
                ON h.credit_balance_id = b.id
            WHERE b.credits_held <> coalesce(h.amount, 0) OR b.credits_held > b.credits_remaining
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E003",
        title="of every grant: amount - allocated - expired = remaining",
        query="""
            SELECT g.id AS credit_grant_id, g.amount, g.remaining,
                   g.amount - coalesce(a.amount, 0) - coalesce(e.amount, 0) AS recounted
            FROM credits.credit_grants g
            LEFT JOIN (SELECT grant_id, sum(amount) AS amount FROM credits.payments
                       GROUP BY grant_id) a ON a.grant_id = g.id
            LEFT JOIN (SELECT grant_id, sum(amount) AS amount FROM credits.credit_expirations
                       GROUP BY grant_id) e ON e.grant_id = g.id
            WHERE g.remaining <> g.amount - coalesce(a.amount, 0) - coalesce(e.amount, 0)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E004",
        title="what a grant holds is what open holds set aside of it",
        query="""
            SELECT g.id AS credit_grant_id, g.held, coalesce(h.amount, 0) AS recounted
            FROM credits.credit_grants g
            LEFT JOIN (SELECT a.grant_id, sum(a.amount) AS amount
                       FROM credits.hold_allocations a
                       JOIN credits.credit_holds h ON h.id = a.hold_id AND h.state = 'OPEN'
                       GROUP BY a.grant_id) h ON h.grant_id = g.id
            WHERE g.held <> coalesce(h.amount, 0)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E005",
        title="every charge and refund is paid by grants of its account, to the credit",
        query="""
            SELECT h.id AS usage_id, h.credits_used, coalesce(a.amount, 0) AS recounted
            FROM credits.usage_history h
            LEFT JOIN (SELECT a.usage_id, sum(a.amount) AS amount,
                              bool_or(g.credit_balance_id <> u.credit_balance_id) AS foreign_grant
                       FROM credits.payments a
                       JOIN credits.credit_grants g ON g.id = a.grant_id
                       JOIN credits.usage_history u ON u.id = a.usage_id
                       GROUP BY a.usage_id) a ON a.usage_id = h.id
            WHERE h.credits_used <> coalesce(a.amount, 0) OR a.foreign_grant
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E006",
        title="refunds give back no more than their charge took, to its account",
        query="""
            SELECT c.id AS usage_id, c.credits_used, -sum(r.credits_used) AS refunded
            FROM credits.usage_history r JOIN credits.usage_history c ON c.id = r.refund_of
            GROUP BY c.id, c.credits_used
            HAVING -sum(r.credits_used) > c.credits_used OR c.credits_used < 0
                OR bool_or(r.credit_balance_id <> c.credit_balance_id)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E007",
        title="history belongs to the user whose account it is in",
        query="""
            SELECT h.id AS usage_id, h.user_id, b.user_id AS account_of
            FROM credits.usage_history h
            JOIN credits.credit_balances b ON b.id = h.credit_balance_id
            WHERE h.user_id <> b.user_id
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E009",
        title="every hold's credits belong to grants of its account, to the credit",
        query="""
            SELECT h.id AS credit_hold_id, h.amount, coalesce(a.amount, 0) AS recounted
            FROM credits.credit_holds h
            LEFT JOIN (SELECT a.hold_id, sum(a.amount) AS amount,
                              bool_or(g.credit_balance_id <> x.credit_balance_id) AS foreign_grant
                       FROM credits.hold_allocations a
                       JOIN credits.credit_grants g ON g.id = a.grant_id
                       JOIN credits.credit_holds x ON x.id = a.hold_id
                       GROUP BY a.hold_id) a ON a.hold_id = h.id
            LEFT JOIN credits.usage_history u ON u.id = h.usage_id
            WHERE h.amount <> coalesce(a.amount, 0) OR a.foreign_grant
               OR u.credits_used > h.amount
        """,
        next_step=RESTORE,
    ),
    Check(
        id="credits.E008",
        title="the settings have one row, and every cost in it is a number of credits",
        query="""
            SELECT 'admin_settings has no row' AS problem
            WHERE NOT EXISTS (SELECT FROM credits.admin_settings)
            UNION ALL
            SELECT c.key || ' costs ' || c.value
            FROM credits.admin_settings s, jsonb_each_text(s.feature_costs) c
            WHERE CASE WHEN c.value ~ '^[0-9]{1,10}$'
                       THEN c.value::bigint > 1000000000 ELSE true END
               OR c.key <> ALL (SELECT unnest(enum_range(NULL::credits.operation_type))::text)
        """,
        next_step="Run set_feature_costs.",
    ),
    Check(
        id="credits.E010",
        title="an account has the key at Clerk that its user has",
        # Beside a host's users there is no such key to follow.
        query=select(
            CreditBalance.id.label("credit_balance_id"),
            CreditBalance.user_id,
            CreditBalance.clerk_user_id,
            User.clerk_id,
        )
        .join(User, User.id == CreditBalance.user_id)
        .where(
            CreditBalance.clerk_user_id.is_distinct_from(User.clerk_id),
            func.to_regclass("auth.users").is_not(None),
        ),
        next_step="Set credit_balances.clerk_user_id to the user's clerk_id, as the owner.",
    ),
)
