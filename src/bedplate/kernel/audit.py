"""Audit logs: who changed what, when and from where.

Revisions make a log and have tables captured (`create_log`, `capture`); this file is what the rest
of a product sees of it.
"""

from __future__ import annotations

from bedplate.kernel.capture import CAPTURED, capture, create_log, drop_log, release

__all__ = ["CAPTURED", "capture", "create_log", "drop_log", "release"]
