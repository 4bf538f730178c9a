"""Quiet hours (NO3): across midnight and clock changes, against a clock read minute by minute."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from bedplate.kernel.database import Database
from bedplate.modules.delivery import (
    QuietHours,
    QuietHoursInvalid,
    deliver_due,
    mail_of,
    preferences_of,
    send,
    set_quiet_hours,
)
from bedplate.modules.delivery.rules import quiet_until
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.delivery.postmen import CODES, LEGAL, PostOffice, a_mail

NIGHT = QuietHours(time(22), time(7), "Europe/Berlin")
# Days on which clocks change, and one on which they do not; zones of both halves of the world, one
# that changes by half an hour, one without changes, and one where the change is at midnight.
DAYS = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25", "2026-06-15"),
    "America/New_York": ("2026-03-08", "2026-11-01", "2026-06-15"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04", "2026-06-15"),
    "Asia/Kolkata": ("2026-03-29",),
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),
}
HOURS = [
    (time(22), time(7)),
    (time(0), time(6)),
    (time(2, 30), time(8)),
    (time(21), time(2, 30)),
    (time(1, 45), time(2, 15)),
    (time(13), time(15)),
    (time(23, 30), time(0, 30)),
    (time(7), time(6, 30)),
]


def is_quiet(moment: datetime, hours: QuietHours) -> bool:
    """What a wall clock shows: independent of the rule under test, and blind to clock changes."""
    shown = moment.astimezone(ZoneInfo(hours.zone)).time().replace(tzinfo=None)
    if hours.starts < hours.ends:
        return hours.starts <= shown < hours.ends
    return shown >= hours.starts or shown < hours.ends


def test_it_ends_where_a_wall_clock_says_so() -> None:
    compared = changes = 0
    for zone, days in DAYS.items():
        for day, (starts, ends) in itertools.product(days, HOURS):
            hours = QuietHours(starts, ends, zone)
            noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
            first = noon.astimezone(UTC) - timedelta(hours=16)
            shifted = zone_changes(first, zone)
            changes += shifted is not None
            for step in range(0, 32 * 60, 15):
                moment = first + timedelta(minutes=step)
                until = quiet_until(moment, hours)
                compared += 1
                if shifted is not None and abs(moment - shifted) <= timedelta(hours=1):
                    continue  # in the hour that comes twice both answers are right
                assert (until is not None) == is_quiet(moment, hours), (zone, day, hours, moment)
                if until is not None:
                    assert moment < until <= moment + timedelta(hours=25)
                    assert quiet_until(until, hours) is None
                    assert until.second == until.microsecond == 0
    assert compared > 10_000
    assert changes > 50


def zone_changes(first: datetime, zone: str) -> datetime | None:
    """The change within the next 32 hours, found minute by minute."""
    here = ZoneInfo(zone)
    offset = first.astimezone(here).utcoffset()
    for step in range(32 * 60):
        moment = first + timedelta(minutes=step)
        if moment.astimezone(here).utcoffset() != offset:
            return moment
    return None


@pytest.mark.parametrize(
    ("at", "until"),
    [
        # Winter and summer: seven o'clock is at six and at five by UTC.
        ("2026-01-15T23:00+01:00", "2026-01-16T06:00+00:00"),
        ("2026-07-15T23:00+02:00", "2026-07-16T05:00+00:00"),
        ("2026-07-15T00:00+02:00", "2026-07-15T05:00+00:00"),
        # The night in which an hour is skipped, and the one in which an hour comes twice.
        ("2026-03-28T22:00+01:00", "2026-03-29T05:00+00:00"),
        ("2026-10-24T22:00+02:00", "2026-10-25T06:00+00:00"),
        ("2026-10-25T02:30+02:00", "2026-10-25T06:00+00:00"),
        # To the second at both ends.
        ("2026-01-15T21:59:59+01:00", None),
        ("2026-01-15T22:00:00+01:00", "2026-01-16T06:00+00:00"),
        ("2026-01-16T06:59:59+01:00", "2026-01-16T06:00+00:00"),
        ("2026-01-16T07:00:00+01:00", None),
    ],
)
def test_a_night_in_berlin(at: str, until: str | None) -> None:
    found = quiet_until(datetime.fromisoformat(at), NIGHT)
    assert found == (datetime.fromisoformat(until) if until else None)


def test_an_end_that_is_skipped_is_the_change_and_one_that_comes_twice_is_the_last() -> None:
    hours = QuietHours(time(22), time(2, 30), "Europe/Berlin")
    skipped = quiet_until(datetime.fromisoformat("2026-03-28T23:00+01:00"), hours)
    assert skipped == datetime.fromisoformat("2026-03-29T01:00+00:00")
    twice = quiet_until(datetime.fromisoformat("2026-10-24T23:00+02:00"), hours)
    assert twice == datetime.fromisoformat("2026-10-25T01:30+00:00")


@pytest.mark.parametrize("zone", ["Nowhere/None", "", "../../etc/passwd", "Europe", "\0"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(QuietHoursInvalid):
        QuietHours(time(22), time(7), zone)


def test_hours_without_a_length_are_refused() -> None:
    with pytest.raises(QuietHoursInvalid):
        QuietHours(time(7), time(7), "UTC")
    with pytest.raises(QuietHoursInvalid):
        QuietHours(time(7, tzinfo=UTC), time(8), "UTC")


async def test_mail_waits_for_the_morning_and_costs_no_attempt(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    bedplate_clock.set(datetime.fromisoformat("2026-10-24T23:30+02:00"))
    await set_quiet_hours(db, NIGHT, address="Ada@example.com")
    mail_id = await send(db, a_mail(to="ADA@example.com"))
    legal = await send(db, a_mail(to="ada@example.com", category=LEGAL))
    code = await send(db, a_mail(to="ada@example.com", category=CODES))
    other = await send(db, a_mail(to="bob@example.com"))
    done = await deliver_due(db)
    # A notice that has to come may come in the morning; a code for signing in may not.
    assert (done.sent, done.waiting) == (2, 2)
    for waiting in (mail_id, legal):
        mail = await mail_of(db, waiting)
        assert (mail.status, mail.attempts, mail.next_retry_at) == ("PENDING", 0, None)
        assert mail.run_at == datetime.fromisoformat("2026-10-25T06:00+00:00")
    for sent in (code, other):
        assert (await mail_of(db, sent)).status == "SENT"
    bedplate_clock.set(datetime.fromisoformat("2026-10-25T06:59:59+01:00"))
    assert (await deliver_due(db)).total == 0
    bedplate_clock.set(datetime.fromisoformat("2026-10-25T07:00:00+01:00"))
    assert (await deliver_due(db)).sent == 2


async def test_a_retry_heeds_the_hours_too(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    bedplate_clock.set(datetime.fromisoformat("2026-01-15T21:59:30+01:00"))
    await set_quiet_hours(db, NIGHT, address="ada@example.com")
    post.at_data = lambda address: "451 later"
    mail_id = await send(db, a_mail(to="ada@example.com"))
    assert (await deliver_due(db)).failed == 1
    post.at_data = lambda address: None
    bedplate_clock.advance(minutes=1)
    assert (await deliver_due(db)).waiting == 1
    mail = await mail_of(db, mail_id)
    assert (mail.status, mail.attempts) == ("PENDING", 1)
    bedplate_clock.advance(hours=9)
    assert (await deliver_due(db)).sent == 1
    assert (await mail_of(db, mail_id)).retry_count == 1


async def test_hours_can_be_changed_and_ended(db: Database) -> None:
    await set_quiet_hours(db, NIGHT, address="ada@example.com")
    later = QuietHours(time(23), time(6), "UTC")
    await set_quiet_hours(db, later, address="ADA@example.com")
    assert (await preferences_of(db, address="ada@example.com")).quiet == later
    await set_quiet_hours(db, None, address="ada@example.com")
    assert (await preferences_of(db, address="ada@example.com")).quiet is None


async def test_a_zone_that_raw_sql_made_up_holds_up_its_own_mail_only(
    db: Database, bedplate_clone: Clone, post: PostOffice
) -> None:
    ask(
        bedplate_clone,
        "INSERT INTO delivery.mail_quiet_hours (id, address, starts_at, ends_at, time_zone)"
        " VALUES (bedplate.uuid7(), 'ada@example.com', '22:00', '07:00', 'Nowhere')",
    )
    mail_id = await send(db, a_mail(to="ada@example.com"))
    await send(db, a_mail())
    done = await deliver_due(db)
    assert (done.failed, done.sent) == (1, 1)
    codes = [each["code"] for each in (await mail_of(db, mail_id)).errors]
    assert codes == [QuietHoursInvalid.code]
