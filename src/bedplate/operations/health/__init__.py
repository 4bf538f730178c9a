"""Is this process alive, may it be sent work, and how are its parts?"""

from __future__ import annotations

from bedplate.operations.health.health import Component, Health, Readiness, Report

__all__ = ["Component", "Health", "Readiness", "Report"]
