"""A clock that stands still, in Python and in SQL alike, until a test moves it.

In a test's database `bedplate.now()` and `bedplate.clock()` look into the one-row table
`bedplate.frozen_clock` first. Every connection sees the row, and no other test's database does.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

from bedplate.catalog import connect
from bedplate.kernel import clock
from bedplate.kernel.errors import UsageError

# Same volatility as the functions they replace; not inlined, because they read a table.
SQL = """
CREATE TABLE bedplate.frozen_clock (
    is_frozen boolean PRIMARY KEY DEFAULT true CHECK (is_frozen),
    moment timestamptz NOT NULL
);
COMMENT ON TABLE bedplate.frozen_clock IS 'The time in a test; without a row it is the real one.';
COMMENT ON COLUMN bedplate.frozen_clock.is_frozen IS 'Always true: there is one row at most.';
COMMENT ON COLUMN bedplate.frozen_clock.moment IS 'What the clock shows.';
GRANT SELECT ON bedplate.frozen_clock TO PUBLIC;

CREATE OR REPLACE FUNCTION bedplate.now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce((SELECT moment FROM bedplate.frozen_clock), pg_catalog.now());
CREATE OR REPLACE FUNCTION bedplate.clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN coalesce((SELECT moment FROM bedplate.frozen_clock), pg_catalog.clock_timestamp());
"""

SET = """
INSERT INTO bedplate.frozen_clock (moment) VALUES (%s)
ON CONFLICT (is_frozen) DO UPDATE SET moment = excluded.moment
"""
THAW = "DELETE FROM bedplate.frozen_clock"


class FrozenClock:
    """The time of one test; it runs as usual until `freeze` or `set`.

    Moving it takes effect at once in every connection to the databases it is `ruling`, also in the
    middle of a transaction (a REPEATABLE READ one keeps the time it began with). New ids go on
    rising by the machine's clock.
    """

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._owner_urls: list[str] = []

    @property
    def now(self) -> datetime:
        """What the clock shows: in UTC, with microseconds."""
        return clock.now()

    @staticmethod
    def install(owner_url: str) -> None:
        """Let SQL on this database look at a frozen clock first, for good.

        For databases that are thrown away, and only those; a clone from a `Template` has it.
        """
        with connect(owner_url, autocommit=True, purpose="tests") as connection:
            connection.execute(SQL.encode())

    @contextmanager
    def ruling(self, owner_url: str) -> Generator[None]:
        """Let SQL on this database go by this clock too, inside the block."""
        self._owner_urls.append(owner_url)
        if self._moment is not None:
            _tell(owner_url, self._moment)
        try:
            yield
        finally:
            self._owner_urls.remove(owner_url)
            if self._moment is not None:
                _tell(owner_url, None)

    def freeze(self) -> datetime:
        """Stop the clock where it is; return what it shows."""
        return self.set(self.now)

    def set(self, moment: datetime) -> datetime:
        """Stop the clock at a moment, which needs a time zone; return it."""
        if moment.tzinfo is None:
            raise UsageError("The clock was set to a time without a zone.", "Pass tzinfo=UTC.")
        self._moment = moment
        clock.freeze(self._read)
        for owner_url in self._owner_urls:
            _tell(owner_url, moment)
        return moment

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Move the clock forward (back, where negative), stopping it first; return the time."""
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self.set(self.now + step)

    def thaw(self) -> None:
        """Let the clock run again, everywhere."""
        was_frozen, self._moment = self._moment is not None, None
        if was_frozen:
            clock.freeze(None)
            for owner_url in self._owner_urls:
                _tell(owner_url, None)

    def _read(self) -> datetime:
        assert self._moment is not None
        return self._moment


def _tell(owner_url: str, moment: datetime | None) -> None:
    with connect(owner_url, autocommit=True, purpose="tests") as connection:
        if moment is None:
            connection.execute(THAW)
        else:
            connection.execute(SET, [moment])
