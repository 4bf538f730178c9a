"""`bedplate migrate`: prove what would change, bring schemas to the code's revision, go back."""

from __future__ import annotations

from bedplate.cli.migrate.apply import migrated
from bedplate.cli.migrate.group import app

__all__ = ["app", "migrated"]
