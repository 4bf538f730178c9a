"""Drafts: what differs between two snapshots, as statements and as a revision's file."""

from __future__ import annotations

from bedplate.operations.migrate.draft.file import Draft, next_name
from bedplate.operations.migrate.draft.make import Wish, make
from bedplate.operations.migrate.draft.renames import Ask, Question
from bedplate.operations.migrate.draft.render import statements
from bedplate.operations.migrate.draft.touching import touches

__all__ = ["Ask", "Draft", "Question", "Wish", "make", "next_name", "statements", "touches"]
