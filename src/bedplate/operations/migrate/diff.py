"""Drift: where the live database is not what its lines make, and a revision that brings it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from bedplate.catalog import Change, Connection, Schema, Snapshot, Table, connect, difference, read
from bedplate.kernel.bindings import Binding, TablePolicy
from bedplate.kernel.errors import SettingsError
from bedplate.operations.migrate.ground import grounds
from bedplate.operations.migrate.made import made_at, ours, read_lines
from bedplate.operations.migrate.status import read_status, refuse_foreign
from bedplate.operations.migrate.target import Target

REMEMBERED = "bedplate.observed.json"
"""In the project's folder, to be committed: what the observed tables were when last accepted."""

Policies = Mapping[str, TablePolicy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What differs; an "added" object is one that the database has and the lines do not make.

    `drift` is what counts, `tolerated` what others added where they may, `observed` what changed
    in a host's table since it was remembered, `external` what a bound table lacks, in sentences.
    """

    drift: tuple[Change, ...] = ()
    tolerated: tuple[Change, ...] = ()
    observed: tuple[Change, ...] = ()
    external: tuple[str, ...] = ()
    made: Snapshot = field(default=Snapshot(()), repr=False, compare=False)
    live: Snapshot = field(default=Snapshot(()), repr=False, compare=False)

    @property
    def clean(self) -> bool:
        """Whether nothing drifted and every bound table has what is bound."""
        return not (self.drift or self.external)


def diff(target: Target, policies: Policies) -> Diff:
    """Compare the live database with what its lines make at the revisions it is at.

    Changes nothing. Policies are by a table's full name; what is not named is managed, and a bound
    table external. Raises RehearsalRefused, SchemaNotOurs, DatabaseUnreachable, SettingsError
    (a table that is bound and managed).
    """
    policies = _with_bindings(policies, target.bindings)
    with connect(target.owner_url, autocommit=True, purpose="diff") as connection:
        found = read_status(connection, target.registry.lines)
        refuse_foreign(found)
        external = tuple(_missing(connection, target.bindings))
        hosts = observed_tables(connection, policies)
    with grounds(target) as ground:
        made = made_at(target, ground, {each.name: each.current for each in found})
    live = read_lines(target, target.owner_url)
    drift: list[Change] = []
    tolerated: list[Change] = []
    for change in ours(target, difference(made, live)):
        policy = policies.get(_table_of(change), "managed")
        if policy == "tolerated" and change.action == "added":
            tolerated.append(change)
        elif policy in ("managed", "tolerated"):
            drift.append(change)
    return Diff(
        drift=tuple(drift),
        tolerated=tuple(tolerated),
        observed=difference(_remembered(target.folder, hosts), hosts),
        external=external,
        made=made,
        live=_without(live, tolerated, policies),
    )


def remember(target: Target, policies: Policies) -> Path:
    """Accept the observed tables as they are now; return the file that says so."""
    with connect(target.owner_url, autocommit=True, purpose="diff") as connection:
        hosts = observed_tables(connection, policies)
    path = target.folder / REMEMBERED
    path.write_bytes(msgspec.json.format(msgspec.json.encode(hosts), indent=1) + b"\n")
    return path


def observed_tables(connection: Connection, policies: Policies) -> Snapshot:
    """Read the tables whose policy is observed, and nothing beside them."""
    names = {name for name, policy in policies.items() if policy == "observed"}
    schemas = sorted({name.partition(".")[0] for name in names})
    found = read(connection, schemas) if schemas else Snapshot(())
    return Snapshot(
        tuple(
            Schema(
                schema.name,
                None,
                tuple(table for table in schema.tables if table.full_name in names),
                (),
                (),
            )
            for schema in found.schemas
        )
    )


def _remembered(folder: Path, hosts: Snapshot) -> Snapshot:
    """What was remembered of the tables; a table that never was, is as it is."""
    path = folder / REMEMBERED
    try:
        known = msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except FileNotFoundError:
        return hosts
    except (msgspec.DecodeError, OSError):
        raise SettingsError(
            f"{path} cannot be read.", "Write it anew: `bedplate migrate diff --remember`."
        ) from None
    return known


def _with_bindings(policies: Policies, bindings: Mapping[str, Binding]) -> Policies:
    for name, binding in bindings.items():
        if policies.get(binding.table) in ("managed", "tolerated"):
            raise SettingsError(
                f"{binding.table} is bound as {name} and is a host's: it cannot be"
                f" {policies[binding.table]}.",
                "Let its policy be external or observed.",
            )
    return {**{each.table: "external" for each in bindings.values()}, **policies}


def _table_of(change: Change) -> str:
    return change.table or change.name


def _without(live: Snapshot, tolerated: list[Change], policies: Policies) -> Snapshot:
    """Leave out what is not to be brought back: what others added, and hosts' tables."""
    left = {(change.kind, change.name) for change in tolerated}
    hosts = {name for name, policy in policies.items() if policy in ("external", "observed")}
    schemas = [
        replace(
            schema,
            tables=tuple(
                _own_parts(table, left)
                for table in schema.tables
                if (table.kind, table.full_name) not in left and table.full_name not in hosts
            ),
        )
        for schema in live.schemas
    ]
    return replace(live, schemas=tuple(schemas))


def _own_parts(table: Table, left: set[tuple[str, str]]) -> Table:
    names = {name for _, name in left}
    if not any(name.startswith(f"{table.full_name}.") for name in names):
        return table

    def own(part: str) -> bool:
        return f"{table.full_name}.{part}" not in names

    return replace(
        table,
        columns=tuple(each for each in table.columns if own(each.name)),
        constraints=tuple(each for each in table.constraints if own(each.name)),
        indexes=tuple(each for each in table.indexes if own(each.name)),
        triggers=tuple(each for each in table.triggers if own(each.name)),
        policies=tuple(each for each in table.policies if own(each.name)),
        rules=tuple(each for each in table.rules if own(each.name)),
    )


def _missing(connection: Connection, bindings: Mapping[str, Binding]) -> Iterator[str]:
    """Say what a bound table lacks of what is bound; whatever else it has is the host's affair."""
    for name, binding in bindings.items():
        schema = read(connection, [binding.schema]).schema(binding.schema)
        table = next((t for t in schema.tables if t.name == binding.name), None) if schema else None
        if table is None:
            yield f"{binding.table}, bound as {name}, is not there."
            continue
        types = {column.name: column.type for column in table.columns}
        for column in (binding.key, *binding.columns.values()):
            if column not in types:
                yield f"{binding.table} has no column {column}, which is bound as {name}."
        kind = types.get(binding.key)
        if kind is not None and not _fits(kind, binding.key_type):
            yield f"{binding.table}.{binding.key} is {kind}; it is bound as {binding.key_type}."
        if kind is not None and not table.is_unique((binding.key,)):
            yield f"{binding.table}.{binding.key} is not unique, so nothing can point at it."


def _fits(kind: str, key_type: str) -> bool:
    if key_type == "text":
        return kind == "text" or kind.startswith("character varying")
    return kind == key_type or (key_type == "bigint" and kind == "integer")
