"""Quiet hours: local times between which mail waits, across midnight and clock changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bedplate.modules.delivery.errors import QuietHoursInvalid


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `starts` to before `ends`, local times of `zone`; into the next day where it is later.

    Raises QuietHoursInvalid.
    """

    starts: time
    ends: time
    zone: str

    def __post_init__(self) -> None:
        if self.starts.tzinfo is not None or self.ends.tzinfo is not None:
            raise QuietHoursInvalid("Quiet hours have a zone of their own.", "Pass bare times.")
        if self.starts == self.ends:
            raise QuietHoursInvalid("Quiet hours begin when they end.")
        zone_of(self.zone)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name; raises QuietHoursInvalid."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise QuietHoursInvalid(
            "There is no such time zone.",
            "Pass a name such as Europe/Berlin; where all are unknown, install tzdata.",
        ) from None


def quiet_until(moment: datetime, hours: QuietHours) -> datetime | None:
    """Return, in UTC, when the quiet hours around a moment end; None where it is in none.

    A start or an end that a clock change skips is the moment of the change; of one that comes
    twice, the start is the first and the end the last, so that nobody is woken.
    """
    zone = zone_of(hours.zone)
    today = moment.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        last = day if hours.starts < hours.ends else day + timedelta(days=1)
        starts = _instant(datetime.combine(day, hours.starts, zone), fold=0)
        ends = _instant(datetime.combine(last, hours.ends, zone), fold=1)
        if starts <= moment < ends:
            return ends
    return None


def _instant(local: datetime, *, fold: int) -> datetime:
    instant = local.replace(fold=fold).astimezone(UTC)
    zone = local.tzinfo
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # The local time is skipped: read by the offsets before and after the change, it is two
    # instants with the change in between. It is found to the second.
    first, last = sorted(local.replace(fold=each).astimezone(UTC) for each in (0, 1))
    before = first.astimezone(zone).utcoffset()
    while last - first > timedelta(seconds=1):
        middle = first + (last - first) / 2
        if middle.astimezone(zone).utcoffset() == before:
            first = middle
        else:
            last = middle
    return last.replace(microsecond=0)
