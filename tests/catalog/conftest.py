from __future__ import annotations

from tests.databases import database, server

__all__ = ["database", "server"]
