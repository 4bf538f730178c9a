"""Version 7 UUIDs for the contestants that bring none of their own."""

from __future__ import annotations

import os
import time
from uuid import UUID


def time_ordered_key() -> UUID:
    """Make a version 7 UUID."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)
