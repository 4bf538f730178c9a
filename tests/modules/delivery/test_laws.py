"""What the database itself holds true of mail, whoever writes; and that each guard matters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product
from uuid import UUID

import psycopg
import pytest
from psycopg import errors as pg

from bedplate.kernel import lease_statements, registry
from bedplate.kernel.database import Database
from bedplate.kernel.errors import BedplateError, LeaseLost
from bedplate.kernel.leases import Lease, Leases, new_holder
from bedplate.modules.delivery import TRANSITIONS, MailStatus, OutgoingMail, deliver_due, send
from bedplate.modules.delivery.repositories import MAIL_LEASES
from bedplate.operations import checks
from bedplate.testing import Clone, FrozenClock
from tests.asking import as_owner, ask
from tests.modules.delivery.postmen import LEGAL, PostOffice, a_mail
from tests.sabotage import Guard
from tests.world import CLIENTS

# What each status needs beside itself, so that nothing but the transition can be at fault.
ENDED = "holder = NULL, expires_at = NULL, finished_at = bedplate.now(), next_retry_at = NULL"
RUNNING = "state = 'RUNNING', holder = 'x', expires_at = bedplate.now(), attempts = 1"
WITH = {
    MailStatus.PENDING: f"{RUNNING}, finished_at = NULL, sent_at = NULL, next_retry_at = NULL",
    MailStatus.FAILED: f"state = 'FAILED', sent_at = NULL, {ENDED}",
    MailStatus.SENT: f"state = 'SUCCEEDED', sent_at = bedplate.now(), {ENDED}",
    MailStatus.BOUNCED: f"state = 'SUCCEEDED', sent_at = bedplate.now(), {ENDED}",
    MailStatus.UNSUBSCRIBED: f"state = 'SUCCEEDED', sent_at = bedplate.now(), {ENDED}",
}
TABLE = "delivery.outgoing_mails"


def set_to(status: MailStatus) -> str:
    return f"UPDATE {TABLE} SET status = '{status}', {WITH[status]} WHERE id = %s"


async def brought(db: Database, clone: Clone, status: MailStatus) -> UUID:
    """Return a mail that was led to a status, on the ways that are allowed."""
    mail_id = await send(db, a_mail())
    ask(clone, f"UPDATE {TABLE} SET {RUNNING} WHERE id = %s", mail_id)
    if status is not MailStatus.PENDING:
        ask(clone, set_to(status), mail_id)
    return mail_id


def status_of(clone: Clone, mail_id: UUID) -> str:
    return str(ask(clone, f"SELECT status FROM {TABLE} WHERE id = %s", mail_id)[0][0])


async def test_raw_sql_goes_the_ways_that_there_are_and_no_other(
    db: Database, bedplate_clone: Clone
) -> None:
    went = refused = 0
    for before, after in product(MailStatus, MailStatus):
        if before == after:
            continue
        mail_id = await brought(db, bedplate_clone, before)
        assert status_of(bedplate_clone, mail_id) == before
        statement = set_to(after)
        if (before, after) == (MailStatus.FAILED, MailStatus.PENDING):
            # Only what is taken up again waits again.
            statement = f"UPDATE {TABLE} SET state = 'PENDING', finished_at = NULL WHERE id = %s"
        if after in TRANSITIONS[before]:
            ask(bedplate_clone, statement, mail_id)
            assert status_of(bedplate_clone, mail_id) == after
            went += 1
            continue
        for run in (ask, as_owner):
            with pytest.raises(pg.CheckViolation) as error:
                run(bedplate_clone, statement, mail_id)
            assert error.value.diag.constraint_name == "transition", (before, after)
        assert status_of(bedplate_clone, mail_id) == before
        refused += 1
    assert (went, refused) == (7, 13)


FROZEN = {
    "recipient": "'x@y.example'",
    "subject": "'Other'",
    "body_text": "'Other'",
    "body_html": "'Other'",
    "dedupe_key": "'other'",
    "category": "'a.b'",
    "is_mandatory": "NOT is_mandatory",
    "content_hash": "sha256('x')",
    "created_at": "bedplate.now() - interval '1 day'",
    "id": "bedplate.uuid7()",
}


async def test_a_letter_does_not_change(db: Database, bedplate_clone: Clone) -> None:
    await send(db, a_mail())
    for column, value in FROZEN.items():
        statement = f"UPDATE {TABLE} SET {column} = {value}"
        with pytest.raises(pg.InsufficientPrivilege):
            ask(bedplate_clone, statement)
        with pytest.raises(pg.CheckViolation) as refused:
            as_owner(bedplate_clone, statement)
        assert refused.value.diag.constraint_name == "frozen", column


OUT_OF_STEP = {
    "status = 'SENT', sent_at = bedplate.now()": "ck_outgoing_mails_settled",
    "next_retry_at = bedplate.now()": "ck_outgoing_mails_next_retry_at",
    "attempts = 11": "ck_outgoing_mails_retry_count",
    "status = 'LOST'": "transition",
    "state = 'SUCCEEDED', finished_at = bedplate.now()": "transition",
    "epoch = -1": "frozen",
}


async def test_status_and_work_stay_in_step(db: Database, bedplate_clone: Clone) -> None:
    await send(db, a_mail())
    for change, constraint in OUT_OF_STEP.items():
        with pytest.raises(pg.CheckViolation) as refused:
            ask(bedplate_clone, f"UPDATE {TABLE} SET {change}")
        assert refused.value.diag.constraint_name == constraint, change


async def test_an_opened_mail_stays_opened(db: Database, bedplate_clone: Clone) -> None:
    await send(db, a_mail())
    ask(bedplate_clone, "UPDATE delivery.outgoing_mails SET opened_at = bedplate.now()")
    assert ask(bedplate_clone, "SELECT is_read FROM delivery.outgoing_mails") == [(True,)]
    with pytest.raises(pg.CheckViolation):
        ask(bedplate_clone, "UPDATE delivery.outgoing_mails SET opened_at = NULL")


async def test_a_mail_begins_at_the_beginning_and_is_not_deleted(
    db: Database, bedplate_clone: Clone
) -> None:
    await send(db, a_mail())
    insert = (
        "INSERT INTO delivery.outgoing_mails (id, dedupe_key, category, is_mandatory,"
        " is_on_by_default, is_urgent, recipient, subject, body_text, content_hash, status,"
        " state, finished_at, sent_at) VALUES (bedplate.uuid7(), 'k', 'a.b', true, true, true,"
        " 'a@b.c', 's', 't', sha256('x'), 'SENT', 'SUCCEEDED', bedplate.now(), bedplate.now())"
    )
    with pytest.raises(pg.CheckViolation) as refused:
        ask(bedplate_clone, insert)
    assert refused.value.diag.constraint_name == "initial"
    for statement in ("DELETE FROM delivery.outgoing_mails", "TRUNCATE delivery.outgoing_mails"):
        with pytest.raises(pg.InsufficientPrivilege):
            ask(bedplate_clone, statement)


async def test_a_mandatory_mail_is_never_unsubscribed(db: Database, bedplate_clone: Clone) -> None:
    mail_id = await send(db, a_mail(category=LEGAL))
    ask(bedplate_clone, f"UPDATE {TABLE} SET {RUNNING}")
    with pytest.raises(pg.CheckViolation) as refused:
        ask(bedplate_clone, set_to(MailStatus.UNSUBSCRIBED), mail_id)
    assert refused.value.diag.constraint_name == "ck_outgoing_mails_mandatory"


# Sabotage: a scenario holds with every guard, and breaks, visibly, without its own.

Scenario = Callable[[Database, Clone, PostOffice, FrozenClock], Awaitable[set[str]]]
"""Returns what went wrong."""


def broken(db: Database, clone: Clone) -> set[str]:
    modules = registry.load(clone.settings.modules, clone.settings.folder)
    return {
        each.id
        for each in checks.run(modules, clone.url)
        if each.id.startswith("delivery.") and not each.ok
    }


async def one_key_twice(
    db: Database, clone: Clone, post: PostOffice, clock: FrozenClock
) -> set[str]:
    asked = a_mail(to="ada@example.com")
    try:
        await asyncio.gather(*(send(db, asked) for _ in range(CLIENTS)))
    except BedplateError as error:
        return {error.code}
    await deliver_due(db)
    return broken(db, clone) | ({"sent twice"} if post.asked["ada@example.com"] > 1 else set())


async def a_sent_mail_sent_again(
    db: Database, clone: Clone, post: PostOffice, clock: FrozenClock
) -> set[str]:
    await send(db, a_mail())
    await deliver_due(db)
    try:
        ask(
            clone,
            "UPDATE delivery.outgoing_mails SET state = 'PENDING', status = 'PENDING',"
            " finished_at = NULL, sent_at = NULL, attempts = 0",
        )
    except psycopg.errors.CheckViolation:
        return set()
    await deliver_due(db)
    return {"sent twice"} if len(post.letters) > 1 else set()


async def a_letter_rewritten(
    db: Database, clone: Clone, post: PostOffice, clock: FrozenClock
) -> set[str]:
    await send(db, a_mail())
    try:
        ask(clone, "UPDATE delivery.outgoing_mails SET recipient = 'thief@example.com'")
    except psycopg.Error:
        return set()
    await deliver_due(db)
    return broken(db, clone) | {f"went to {each['To']}" for each in post.letters}


async def a_status_without_its_work(
    db: Database, clone: Clone, post: PostOffice, clock: FrozenClock
) -> set[str]:
    await send(db, a_mail())
    try:
        ask(
            clone,
            "UPDATE delivery.outgoing_mails SET status = 'SENT', sent_at = bedplate.now()",
        )
    except psycopg.errors.CheckViolation:
        return set()
    return broken(db, clone)


async def too_many_attempts(
    db: Database, clone: Clone, post: PostOffice, clock: FrozenClock
) -> set[str]:
    await send(db, a_mail())
    try:
        ask(clone, "UPDATE delivery.outgoing_mails SET attempts = 11")
    except psycopg.errors.CheckViolation:
        return set()
    return broken(db, clone)


ALTER = "ALTER TABLE delivery.outgoing_mails DROP CONSTRAINT {}"
NO_TRIGGER = "DROP TRIGGER tr_outgoing_mails_keep ON delivery.outgoing_mails"
ANY_COLUMN = "GRANT UPDATE ON delivery.outgoing_mails TO PUBLIC"
# A unique index that is none: ON CONFLICT still finds it, and no two rows are ever in it alike.
NO_UNIQUE = (
    ALTER.format("uq_outgoing_mails_dedupe_key")
    + ";ALTER TABLE delivery.outgoing_mails ADD CONSTRAINT uq_outgoing_mails_dedupe_key"
    " UNIQUE (dedupe_key, id)"
)
GUARDS: dict[str, Guard[Scenario]] = {
    "the dedupe key": Guard(one_key_twice, "database", NO_UNIQUE),
    "the law of transitions": Guard(a_sent_mail_sent_again, "sent twice", NO_TRIGGER),
    "the app's columns and the frozen letter": Guard(
        a_letter_rewritten, "delivery.E001", f"{ANY_COLUMN};{NO_TRIGGER}"
    ),
    "status and work": Guard(
        a_status_without_its_work,
        "delivery.E002",
        ALTER.format("ck_outgoing_mails_settled"),
    ),
    "the bound of retries": Guard(
        too_many_attempts, "delivery.E003", ALTER.format("ck_outgoing_mails_retry_count")
    ),
}


@pytest.mark.parametrize("scenario", {guard.scenario: None for guard in GUARDS.values()})
async def test_with_every_guard_the_scenario_holds(
    db: Database,
    bedplate_clone: Clone,
    post: PostOffice,
    bedplate_clock: FrozenClock,
    scenario: Scenario,
) -> None:
    assert await scenario(db, bedplate_clone, post, bedplate_clock) == set()


@pytest.mark.parametrize("name", GUARDS)
async def test_without_the_guard_it_breaks_and_is_seen(
    db: Database,
    bedplate_clone: Clone,
    post: PostOffice,
    bedplate_clock: FrozenClock,
    name: str,
) -> None:
    guard = GUARDS[name]
    guard.take_away(bedplate_clone, "delivery")
    assert guard.seen in await guard.scenario(db, bedplate_clone, post, bedplate_clock)


async def two_at_one_mail(
    db: Database, leases: Leases[OutgoingMail], clock: FrozenClock
) -> set[str]:
    """A worker sleeps through its lease, another takes the mail, and the first comes back."""
    clock.freeze()
    await send(db, a_mail())
    second = timedelta(seconds=1)
    (mine,) = (await leases.claim(db, new_holder(), limit=1, lease=second)).held
    clock.advance(seconds=2)
    assert (await leases.claim(db, new_holder(), limit=1, lease=10 * second)).held
    try:
        await leases.release(db, Lease.of(mine))
    except LeaseLost:
        return set()
    third = await leases.claim(db, new_holder(), limit=1, lease=second)
    return {"two hold it"} if third.held else set()


async def test_a_stale_worker_writes_nothing(db: Database, bedplate_clock: FrozenClock) -> None:
    assert await two_at_one_mail(db, MAIL_LEASES, bedplate_clock) == set()


async def test_without_the_fence_two_hold_one_mail(
    db: Database, bedplate_clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfenced = "id = :id AND :epoch > 0 AND :holder <> ''"
    monkeypatch.setattr(lease_statements, "FENCE", unfenced)
    leases = Leases(OutgoingMail)
    assert await two_at_one_mail(db, leases, bedplate_clock) == {"two hold it"}
