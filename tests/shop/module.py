"""The manifest of `shop`."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from tests.shop.models import Customer, LoyaltyCard, Order, OrderLine, Product, Specimen

MODULE = ModuleManifest(
    name="shop",
    package="tests.shop",
    models=(Customer, LoyaltyCard, Product, Specimen, Order, OrderLine),
    requires=("auth",),
)
