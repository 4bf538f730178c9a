from __future__ import annotations

from tests.operations.migrated import (
    kernel_database,
    kernel_template,
    shop_database,
    shop_template,
)

__all__ = ["kernel_database", "kernel_template", "shop_database", "shop_template"]
