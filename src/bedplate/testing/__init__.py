"""Tests against a real PostgreSQL: databases by the clone, a frozen clock, rows by the thousand.

`pip install bedplate` installs the pytest plugin; `docs/howto/test-your-app.md` shows its use.
"""

from __future__ import annotations

from bedplate.testing.clock import FrozenClock
from bedplate.testing.databases import Clone, Template
from bedplate.testing.factories import Factories, Factory
from bedplate.testing.generated_rows import GeneratedRows, generate_rows
from bedplate.testing.rollback import RolledBack
from bedplate.testing.server import Server

__all__ = [
    "Clone",
    "Factories",
    "Factory",
    "FrozenClock",
    "GeneratedRows",
    "RolledBack",
    "Server",
    "Template",
    "generate_rows",
]
