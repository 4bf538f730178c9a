"""Revisions to look at: their statements, as they would be dictated to a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bedplate.kernel.backfills import Backfill, Filled, Restored, run_by
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import BedplateError
from bedplate.kernel.lines import Line, LineContext, homes_of
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import alembic_bridge
from bedplate.operations.migrate.lint import missing_downgrade
from bedplate.operations.migrate.lint.finding import Finding
from bedplate.operations.migrate.lint.run import lint, split
from bedplate.operations.migrate.lint.statement import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Linter:
    """Looks at the revisions of a project's lines; no server is asked.

    `squawk_at` is where the program squawk is, None to do without it.
    """

    registry: Registry
    bindings: Mapping[str, Binding]
    squawk_at: str | None = None

    def sql(self, text: str) -> tuple[Finding, ...]:
        """Look at plain SQL, which nobody runs as one transaction unless it says so itself."""
        return lint([text], transactional=False, squawk_at=self.squawk_at)

    def alone(self, line: Line) -> tuple[Finding, ...]:
        """Look at every revision of a line, each as if it were applied by itself."""
        return tuple(each for name in line.revisions for each in self.together(line, [name]))

    def together(self, line: Line, revisions: Sequence[str]) -> tuple[Finding, ...]:
        """Look at revisions that are applied together: what one creates, the next may change.

        Raises MigrationFailed where the line's files do not form one.
        """
        return tuple(self._findings(line, revisions))

    def _findings(self, line: Line, revisions: Sequence[str]) -> Iterator[Finding]:
        history: list[Statement] = []
        made: set[str] = set()
        for name in line.revisions:
            try:
                statements = self._statements(line, name)
            except BedplateError:
                raise
            except Exception as error:
                if name in revisions:
                    yield _unreadable(name, error)
                continue
            if name in revisions:
                revision = alembic_bridge.describe(line, name)
                yield from missing_downgrade.look(revision)
                for finding in lint(
                    [each.text for each in statements],
                    transactional=revision.transactional,
                    made=made,
                    history=history,
                    squawk_at=self.squawk_at,
                ):
                    yield replace(finding, revision=name)
                made.update(each.creates for each in statements if each.creates)
            history.extend(statements)

    def _statements(self, line: Line, name: str) -> tuple[Statement, ...]:
        texts: list[str] = []
        context = LineContext(
            schema=line.schema,
            execute=texts.append,
            bindings=self.bindings,
            homes=homes_of(self.registry.ordered),
            app="app",
            reader="reader",
            guarded="guarded",
        )
        with run_by(_NoRows()):
            alembic_bridge.dictate(line, name, "up", context, texts.append)
        return tuple(split(texts))


class _NoRows:
    """Runs no backfill: they are the safe way, and have no statements of their own to look at."""

    def fill(self, backfill: Backfill) -> Filled:
        del backfill
        return Filled(0)

    def restore(self, backfill: Backfill) -> Restored:
        del backfill
        return Restored(0)


def _unreadable(revision: str, error: Exception) -> Finding:
    return Finding(
        rule="unreadable",
        severity="warning",
        statement="",
        reason="It asks the database while it runs, so its statements are not known before"
        f" ({type(error).__name__}: {error}).",
        recipe="Only the rehearsal sees them: `bedplate migrate prove`.",
        revision=revision,
    )
