"""What the data layer counts and tells about its own statements: fixed size, and never a value."""

from __future__ import annotations

import logging
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

logger = logging.getLogger("bedplate")

SQL_CHARACTERS_MAX = 500
"""How much of a slow statement's text is logged."""

_OWN_FOLDER = str(Path(__file__).resolve().parents[1])


@dataclass(slots=True)
class Statistics:
    """Counters since the database was opened; times are nanoseconds of waiting for the server."""

    statements: int = 0
    errors: int = 0
    slow: int = 0
    time_ns: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return asdict(self)


class Watch:
    """Counts statements and warns of slow ones with the place in the application that ran them."""

    __slots__ = ("_slow_ns", "statistics")

    def __init__(self, slow_statement_ms: int) -> None:
        self._slow_ns = slow_statement_ms * 1_000_000
        self.statistics = Statistics()

    def note(self, sql: bytes, elapsed_ns: int) -> None:
        """Count one statement; log it when it took longer than the limit."""
        statistics = self.statistics
        statistics.statements += 1
        statistics.time_ns += elapsed_ns
        if elapsed_ns > self._slow_ns:
            statistics.slow += 1
            text = " ".join(sql.decode(errors="replace").split())[:SQL_CHARACTERS_MAX]
            logger.warning(
                "slow statement: %d ms at %s: %s", elapsed_ns // 1_000_000, _call_site(), text
            )

    def fail(self) -> None:
        """Count a statement the server refused."""
        self.statistics.errors += 1


def _call_site() -> str:
    """Return the nearest file and line outside this package; walked for slow statements only."""
    for frame, line in traceback.walk_stack(None):
        name = frame.f_code.co_filename
        if not name.startswith(_OWN_FOLDER):
            return f"{Path(name).name}:{line}"
    return "unknown"
