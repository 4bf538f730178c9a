"""A revision without a way back."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Finding
from bedplate.operations.migrate.revision import Revision


def look(revision: Revision) -> Iterator[Finding]:
    """Find a file that has no downgrade() and does not say why."""
    if not revision.has_downgrade and revision.irreversible is None:
        yield Finding(
            rule="missing-downgrade",
            severity="error",
            statement="",
            reason="When the release goes wrong there is no way back but a backup.",
            recipe='Write downgrade(), or say irreversible = "why" at the top of the file.',
            revision=revision.name,
        )
