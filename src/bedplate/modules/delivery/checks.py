"""The laws of mail, recounted from the rows."""

from __future__ import annotations

from bedplate.kernel.checks import Check

RESTORE = "Find who changed the rows, and restore them from a backup."

CHECKS = (
    Check(
        id="delivery.E001",
        title="what a mail says and carries is what was asked for",
        query="""
            SELECT m.id AS outgoing_mail_id, m.dedupe_key
            FROM delivery.outgoing_mails m
            LEFT JOIN (
                SELECT mail_id, string_agg(
                    sha256(convert_to(filename, 'UTF8')) || sha256(convert_to(content_type, 'UTF8'))
                    || sha256(content), ''::bytea ORDER BY position) AS digests
                FROM delivery.mail_attachments GROUP BY mail_id) a ON a.mail_id = m.id
            WHERE m.content_hash <> sha256(
                sha256(convert_to(m.recipient, 'UTF8'))
                || sha256(convert_to(coalesce(m.reply_to, ''), 'UTF8'))
                || sha256(convert_to(m.category, 'UTF8'))
                || sha256(convert_to(m.subject, 'UTF8'))
                || sha256(convert_to(m.body_text, 'UTF8'))
                || sha256(convert_to(coalesce(m.body_html, ''), 'UTF8'))
                || coalesce(a.digests, ''::bytea))
        """,
        next_step=RESTORE,
    ),
    Check(
        id="delivery.E002",
        title="a mail's status is what became of the work on it",
        query="""
            SELECT id AS outgoing_mail_id, state, status
            FROM delivery.outgoing_mails
            WHERE (state = 'SUCCEEDED') <> (status IN ('SENT', 'BOUNCED', 'UNSUBSCRIBED'))
               OR (state IN ('FAILED', 'CANCELLED') AND status <> 'FAILED')
               OR (state = 'RUNNING' AND status <> 'PENDING')
               OR (status = 'SENT') AND sent_at IS NULL
               OR (next_retry_at IS NOT NULL) <> (status = 'FAILED' AND state = 'PENDING')
        """,
        next_step=RESTORE,
    ),
    Check(
        id="delivery.E003",
        title="no mail is tried more often than it may be",
        query="""
            SELECT id AS outgoing_mail_id, attempts, retry_count, max_attempts
            FROM delivery.outgoing_mails
            WHERE attempts > max_attempts OR retry_count >= max_attempts
        """,
        next_step=RESTORE,
    ),
    Check(
        id="delivery.E004",
        title="one mail per dedupe key",
        query="""
            SELECT dedupe_key, count(*) AS mails
            FROM delivery.outgoing_mails GROUP BY dedupe_key HAVING count(*) > 1
        """,
        next_step=RESTORE,
    ),
    Check(
        id="delivery.E005",
        title="mail that has to be sent was not held back by a preference",
        query="""
            SELECT id AS outgoing_mail_id, category
            FROM delivery.outgoing_mails WHERE is_mandatory AND status = 'UNSUBSCRIBED'
        """,
        next_step=RESTORE,
    ),
    Check(
        id="delivery.W001",
        title="no mail has waited for a worker for more than an hour",
        query="""
            SELECT id AS outgoing_mail_id, run_at
            FROM delivery.outgoing_mails
            WHERE state = 'PENDING' AND run_at < bedplate.now() - interval '1 hour'
        """,
        next_step="Run `bedplate work`, and set BEDPLATE_DELIVERY_SMTP_URL and _SENDER.",
    ),
    Check(
        id="delivery.W002",
        title="no mail was given up in the last 30 days",
        query="""
            SELECT id AS outgoing_mail_id, dedupe_key, recipient, failure_reason, finished_at
            FROM delivery.outgoing_mails
            WHERE status = 'FAILED' AND state = 'FAILED'
              AND finished_at > bedplate.now() - interval '30 days'
        """,
        next_step="Mend what failure_reason names, and try them anew with delivery.retry_failed.",
    ),
)
