"""A module for the tests of the kernel: one of everything that a model can have."""

from tests.shop.models import (
    Customer,
    Kind,
    LoyaltyCard,
    Order,
    OrderLine,
    Product,
    Specimen,
    Status,
)
from tests.shop.module import MODULE

__all__ = [
    "MODULE",
    "Customer",
    "Kind",
    "LoyaltyCard",
    "Order",
    "OrderLine",
    "Product",
    "Specimen",
    "Status",
]
