"""Sample rows for a first look: each enabled module's own, in the order of the modules."""

from __future__ import annotations

from bedplate.operations.seed.load import Seeded, load

__all__ = ["Seeded", "load"]
