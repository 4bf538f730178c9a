"""Count everything anew from the rows, and compare it with what the clients were told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, Text, Uuid, column, text

from bedplate.cli.demo.errands import Answer
from bedplate.integrations.blocking import wait
from bedplate.kernel.query import Query
from bedplate.operations import checks
from bedplate.project import Project

# Every answer but a refusal speaks of one of these rows.
_DONE: Query[Any] = Query(
    text("""
        SELECT action AS verb, key, id, abs(credits_used) AS credits FROM credits.usage_history
        UNION ALL SELECT 'reserve', key, id, amount FROM credits.credit_holds
        UNION ALL SELECT 'release', key, id, amount FROM credits.credit_holds
        WHERE state = 'RELEASED'
    """).columns(
        column("verb", Text), column("key", Text), column("id", Uuid), column("credits", Integer)
    )
)
_CHARGES = ("deduct", "capture")
"""The verbs that charge: what both answer is Deducted."""
# Stored balances against what history says, as a sum of absolute differences: two wrongs that
# cancel out are two wrongs.
_DELTA: Query[Any] = Query(
    text("""
        SELECT coalesce(sum(abs(b.credits_remaining - (
            (SELECT coalesce(sum(amount), 0) FROM credits.credit_grants AS g
             WHERE g.credit_balance_id = b.id)
            - (SELECT coalesce(sum(credits_used), 0) FROM credits.usage_history AS u
               WHERE u.credit_balance_id = b.id)
            - (SELECT coalesce(sum(amount), 0) FROM credits.credit_expirations AS e
               WHERE e.credit_balance_id = b.id)
        ))), 0)::bigint AS delta FROM credits.credit_balances AS b
    """).columns(column("delta", BigInteger))
)
_MOVES: Query[Any] = Query(
    text("""
        SELECT created_at AS at, amount FROM credits.credit_grants
        UNION ALL SELECT timestamp, -credits_used FROM credits.usage_history
        ORDER BY at
    """).columns(column("at", DateTime(timezone=True)), column("amount", Integer))
)
_ACCOUNTS: Query[Any] = Query(
    text("""
        SELECT b.user_id,
            (SELECT coalesce(sum(amount), 0) FROM credits.credit_grants
             WHERE credit_balance_id = b.id)::bigint AS granted,
            coalesce(sum(credits_used) FILTER (WHERE credits_used > 0), 0)::bigint AS charged,
            coalesce(-sum(credits_used) FILTER (WHERE credits_used < 0), 0)::bigint AS refunded,
            b.credits_remaining
        FROM credits.credit_balances AS b
        LEFT JOIN credits.usage_history AS u ON u.credit_balance_id = b.id
        GROUP BY b.id ORDER BY b.user_id
    """).columns(
        column("user_id", Uuid),
        column("granted", BigInteger),
        column("charged", BigInteger),
        column("refunded", BigInteger),
        column("remaining", Integer),
    )
)
_NAIVE: Query[Any] = Query(
    text("""
        SELECT (SELECT coalesce(sum(credits_used), 0) FROM naive.usage_history)::bigint AS charged,
            ((SELECT sum(amount) FROM credits.credit_grants)
             - (SELECT sum(credits_remaining) FROM naive.credit_balances))::bigint AS deducted
    """).columns(column("charged", BigInteger), column("deducted", BigInteger))
)
_VERSION: Query[Any] = Query(
    text("SELECT current_setting('server_version') AS version").columns(column("version", Text))
)


@dataclass(frozen=True, slots=True)
class Account:
    """One user's credits by the recount."""

    user_id: UUID
    granted: int
    charged: int
    refunded: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Recount:
    """What the rows say, beside what the clients were told."""

    postgres: str
    acknowledged: int
    recorded: int
    missing: int
    changed: int
    refused: int
    balance_delta: int
    broken: tuple[str, ...]
    checks: int
    accounts: tuple[Account, ...]
    moves: tuple[tuple[datetime, int], ...]

    @property
    def violations(self) -> int:
        """Rows that break a law, rows acknowledged that are gone, and answers that changed."""
        return len(self.broken) + self.missing + self.changed

    @property
    def ok(self) -> bool:
        """Tell whether not one credit is missing, and not one charge is there twice."""
        return self.acknowledged == self.recorded and not (self.balance_delta or self.violations)


def recount(project: Project, url: str, answers: Iterable[Answer]) -> Recount:
    """Recount from the rows; `answers` are all that clients were ever told."""
    facts: dict[tuple[str, str], set[Any]] = {}
    for answer in answers:
        facts.setdefault((answer.key, answer.verb), set()).add(answer.fact)
    told = {
        (verb, key, row_id, credits)
        for (key, verb), said in facts.items()
        for _, row_id, credits in said
        if row_id is not None
    }
    db = project.db
    done = {tuple(row) for row in wait(db.all(_DONE))}
    outcomes = checks.run(project.registry, url)
    return Recount(
        postgres=wait(db.one(_VERSION)),
        acknowledged=len({key for verb, key, *_ in told if verb in _CHARGES}),
        recorded=sum(verb in _CHARGES for verb, *_ in done),
        missing=len(told - done),
        changed=sum(len(said) > 1 for said in facts.values()),
        refused=sum(outcome == "Refused" for said in facts.values() for outcome, _, _ in said),
        balance_delta=wait(db.one(_DELTA)),
        broken=tuple(
            f"{outcome.id} {outcome.title}: {outcome.problem or row}"
            for outcome in outcomes
            if not (outcome.ok or outcome.is_warning)
            for row in outcome.rows or ("it could not run",)
        ),
        checks=len(outcomes),
        accounts=tuple(Account(*row) for row in wait(db.all(_ACCOUNTS))),
        moves=tuple(tuple(row) for row in wait(db.all(_MOVES))),
    )


def naive_loss(project: Project) -> tuple[int, int]:
    """Return the credits that naive history charged, and those that are really gone."""
    charged, deducted = wait(project.db.one(_NAIVE))
    return charged, deducted
