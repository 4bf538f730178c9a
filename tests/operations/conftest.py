from __future__ import annotations

from tests.databases import database, server
from tests.operations.migrated import shop_database, shop_template

__all__ = ["database", "server", "shop_database", "shop_template"]
