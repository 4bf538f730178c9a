"""The plan: exactly what apply would run, on which database, as plain data with a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec

from bedplate.catalog import Connection, connect, fingerprint, identity
from bedplate.kernel.bindings import Binding
from bedplate.kernel.footprint import Footprint
from bedplate.operations.migrate import alembic_bridge
from bedplate.operations.migrate.state import read_schema
from bedplate.operations.migrate.status import read_status, refuse_foreign
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One revision that would run; `sha256` is that of its file."""

    module: str
    revision: str
    direction: Literal["up", "down"]
    summary: str
    sha256: str
    touches: Footprint
    transactional: bool
    irreversible: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What apply would do to one database as it is now.

    `database` tells it from every other; `fingerprint` is its schema's, of all that is not
    PostgreSQL's own or the runner's. The hash covers all but the fingerprint, so that a proof of
    the same plan can say that the schema changed since.
    """

    database: str
    major: int
    modules: tuple[str, ...]
    bindings: Mapping[str, Binding]
    steps: tuple[PlannedStep, ...]
    fingerprint: str

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON, in hexadecimal digits."""
        fields = {name: value for name, value in asdict(self).items() if name != "fingerprint"}
        return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def plan(target: Target) -> Plan:
    """Work out what apply would run; changes nothing, and takes no lock.

    Raises SchemaNotOurs, OutdatedLine (the database is ahead of the code), MigrationFailed (the
    files do not form a line), DatabaseUnreachable, AuthenticationFailed.
    """
    with connect(target.owner_url, autocommit=True, purpose="plan") as connection:
        return read_plan(connection, target)


def read_plan(connection: Connection, target: Target) -> Plan:
    """Work the plan out over a connection that is open already."""
    return Plan(
        # A copy of a database elsewhere is another database, whose rows are other rows.
        database=f"{identity(connection)}/{connection.info.dbname}",
        major=connection.info.server_version // 10_000,
        modules=tuple(line.name for line in target.registry.lines),
        bindings=dict(target.bindings),
        steps=tuple(_planned(step) for step in pending(connection, target)),
        fingerprint=read_fingerprint(connection, target),
    )


def read_fingerprint(connection: Connection, target: Target) -> str:
    """Return the fingerprint of the live schema, without the runner's own tables."""
    return fingerprint(read_schema(connection, target.registry.lines))


def pending(connection: Connection, target: Target) -> tuple[Step, ...]:
    """Return the steps that apply would run now, the kernel's first."""
    lines = target.registry.lines
    found = read_status(connection, lines)
    refuse_foreign(found)
    steps: list[Step] = []
    for line, line_status in zip(lines, found, strict=True):
        alembic_bridge.verify(line)
        before = line_status.current
        for revision in line.pending(before):
            steps.append(Step(line, revision, "up", before, revision))
            before = revision
    return tuple(steps)


def _planned(step: Step) -> PlannedStep:
    said = alembic_bridge.describe(step.line, step.revision)
    return PlannedStep(
        module=step.line.name,
        revision=step.revision,
        direction=step.direction,
        summary=said.summary,
        sha256=said.sha256,
        touches=said.touches,
        transactional=said.transactional,
        irreversible=said.irreversible,
    )
