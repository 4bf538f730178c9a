"""The rehearsal: the plan run up, down and up again on a private copy of the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bedplate.catalog import Snapshot, connect, difference, fingerprint
from bedplate.kernel import clock
from bedplate.kernel.errors import BedplateError
from bedplate.operations.migrate.agreement import disagreements
from bedplate.operations.migrate.copies import PURPOSE, Copy
from bedplate.operations.migrate.expected import from_lines, from_models
from bedplate.operations.migrate.forecast import forecast
from bedplate.operations.migrate.ground import Ground, grounds
from bedplate.operations.migrate.plan import Plan, read_plan
from bedplate.operations.migrate.proof import Blocking, Proof, Rehearsed, store
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.second_sessions import SecondSessions, watching
from bedplate.operations.migrate.state import State, read_schema, read_state, without_books
from bedplate.operations.migrate.step import OnStep, Step
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.undo import undo
from bedplate.operations.migrate.unproven import apply_unproven

CHANGES_SHOWN = 20
"""How many differences of one kind a proof lists."""

BUDGET_MS = 200.0
"""A lock that the application waits for longer than this is noted."""


def prove(target: Target, *, on_step: OnStep | None = None) -> Proof:
    """Rehearse what apply would run, on a copy; store the proof in the project's folder.

    Up; compare with the models; down; compare schema and rows with before; up; compare with the
    first up. What must not be is in the proof's `reasons`, not raised. `on_step` is told of each
    step of the rehearsal, up and down.

    Raises RehearsalRefused (no copy can be had) and what `plan` raises.
    """
    with connect(target.owner_url, autocommit=True, purpose="plan") as live:
        plan = read_plan(live, target)
    return rehearse(target, plan, on_step)


def rehearse(target: Target, plan: Plan, on_step: OnStep | None = None) -> Proof:
    """Rehearse this plan, which has just been read; see `prove`."""
    started = clock.nanoseconds()
    with grounds(target) as ground:
        with ground.copy() as copy:
            rehearsal = _Rehearsal(target, plan, copy, on_step)
            rehearsal.run(ground)
        blocking = forecast(target, rehearsal.steps)
        proof = Proof(
            plan=plan.hash,
            fingerprint=plan.fingerprint,
            major=plan.major,
            ground=ground.kind,
            data=copy.data,
            made_at=clock.now(),
            duration_ms=_ms_since(started),
            steps=tuple(rehearsal.steps),
            blocking=blocking,
            witnesses=tuple(rehearsal.witnesses),
            notes=(*rehearsal.notes, *_over_budget(blocking)),
            reasons=tuple(rehearsal.reasons),
        )
    store(proof, target.folder)
    return proof


class _Rehearsal:
    """One rehearsal on one copy, and what it has found so far."""

    def __init__(self, target: Target, plan: Plan, copy: Copy, on_step: OnStep | None) -> None:
        self.steps: list[Rehearsed] = []
        self.witnesses: list[str] = []
        self.notes: list[str] = []
        self.reasons: list[str] = []
        self._receipts: list[Receipt] = []
        self._target = target
        self._plan = plan
        self._copy = copy
        self._on_step = on_step
        self._lines = target.registry.lines
        self._step_began = 0
        # The way back ends above the last revision that has none.
        without_way_back = [n for n, each in enumerate(plan.steps, 1) if each.irreversible]
        self._floor = without_way_back[-1] if without_way_back else 0
        self._before: State | None = None

    def run(self, ground: Ground) -> None:
        """Go up, down and up; a step that fails ends it."""
        with watching(self._copy, self._lines) as sessions:
            try:
                self._go(ground, sessions)
            except BedplateError as error:
                self.reasons.append(str(error))
            found, self.witnesses = sessions.findings(self._plan.steps, self._receipts)
            self.reasons += found

    def _go(self, ground: Ground, sessions: SecondSessions) -> None:
        if ground.kind == "private server" and self._plan.fingerprint != fingerprint(
            self._read_schema()
        ):
            self.notes.append("The restored copy's schema is not to the letter the live one.")
        self._keep_state(0)
        self._up(first=True)
        sessions.look()
        up = self._read_schema()
        self._compare_with_models(ground, up)
        if self._plan.steps:
            self._down()
            self._compare_with_before()
            self._up(first=False)
            again = self._read_schema()
            if fingerprint(again) != fingerprint(up):
                self._report("The second way up does not lead where the first did", up, again)

    def _up(self, *, first: bool) -> None:
        apply_unproven(
            self._target.registry,
            owner_url=self._copy.owner_url,
            app_url=self._copy.app_url,
            bindings=self._target.bindings,
            on_step=self._began,
            on_receipt=self._ended if first else self._receipts.append,
        )

    def _down(self) -> None:
        """Take the lines back to the floor, the last one first."""
        for step in self._plan.steps[: self._floor]:
            why = step.irreversible or "a later revision has no way back"
            self.notes.append(f"{step.module} {step.revision} was not taken back: {why}.")
        first: dict[str, str] = {}
        for step in self._plan.steps[self._floor :]:
            first.setdefault(step.module, step.revision)
        revisions = {line.name: line.revisions for line in self._lines}
        for name, revision in reversed(first.items()):
            place = revisions[name].index(revision)
            undo(
                self._target.registry,
                name,
                to=revisions[name][place - 1] if place else None,
                owner_url=self._copy.owner_url,
                bindings=self._target.bindings,
                on_step=self._began,
            )

    def _began(self, step: Step) -> None:
        if self._on_step is not None:
            self._on_step(step)
        self._step_began = clock.nanoseconds()

    def _ended(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        took = _ms_since(self._step_began)
        planned = self._plan.steps[len(self.steps)]
        self.steps.append(
            Rehearsed(
                module=receipt.module,
                revision=receipt.revision,
                rows_touched=receipt.rows_touched,
                rewritten=receipt.rewritten,
                shape_changes=receipt.shape_changes,
                locks=receipt.locks,
                up_ms=took,
                irreversible=planned.irreversible,
            )
        )
        self._keep_state(len(self.steps))

    def _keep_state(self, steps_done: int) -> None:
        """Read everything where the way back will end: there it must be like this again."""
        if steps_done == self._floor and self._floor < len(self._plan.steps):
            with connect(self._copy.admin_url, purpose=PURPOSE) as connection:
                self._before = read_state(connection, self._lines)

    def _compare_with_models(self, ground: Ground, up: Snapshot) -> None:
        if not any(manifest.models for manifest in self._target.registry.ordered):
            return
        models = from_models(self._target, ground)
        found = disagreements(models, up)
        if not found:
            return
        # What somebody changed by hand in the live database is no fault of the revisions.
        lines = without_books(from_lines(self._target, ground), self._lines)
        faults = set(disagreements(models, lines))
        self.reasons += [each for each in found if each in faults][:CHANGES_SHOWN]
        self.notes += [f"Drift: {each}" for each in found if each not in faults][:CHANGES_SHOWN]

    def _compare_with_before(self) -> None:
        if self._before is None:
            return
        with connect(self._copy.admin_url, purpose=PURPOSE) as connection:
            after = read_state(connection, self._lines)
        if after.fingerprint != self._before.fingerprint:
            self._report("Going back leaves a trace", self._before.snapshot, after.snapshot)
        self.reasons += _content_changes(self._before, after)

    def _report(self, what: str, before: Snapshot, after: Snapshot) -> None:
        changes = difference(before, after)
        self.reasons += [f"{what}: {change.sentence}." for change in changes[:CHANGES_SHOWN]]

    def _read_schema(self) -> Snapshot:
        with connect(self._copy.admin_url, purpose=PURPOSE) as connection:
            return read_schema(connection, self._lines)


def _over_budget(blocking: Iterable[Blocking]) -> Iterator[str]:
    longest: dict[str, Blocking] = {}
    for each in blocking:
        longest.setdefault(each.table, each)
    for table, each in longest.items():
        if each.held_ms > BUDGET_MS:
            yield f"{table} is locked for {each.held_ms:.0f} ms ({each.mode})."


def _content_changes(before: State, after: State) -> Iterator[str]:
    for name, was in before.contents.items():
        now = after.contents.get(name)
        if now is None:
            yield f"Going back loses {name} with its {was.rows} rows."
        elif now.rows != was.rows:
            yield f"Going back leaves {now.rows} rows in {name}, which had {was.rows}."
        elif now.hash != was.hash:
            yield f"Going back leaves other rows in {name} than it had."


def _ms_since(began: int) -> float:
    """Milliseconds since a reading of clock.nanoseconds()."""
    return round((clock.nanoseconds() - began) / 1_000_000, 3)
