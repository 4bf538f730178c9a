"""Modules enabled and disabled in every order that their needs allow, over rows in every table.

What `registry.available()` finds takes part: a module that is written later does so by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import pytest

from bedplate.catalog import Snapshot, connect, read, read_versions
from bedplate.kernel import registry as registries
from bedplate.kernel.errors import ModuleMissing
from bedplate.kernel.lines import lines_of
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import apply_unproven
from bedplate.testing import generate_rows
from tests.databases import Server, TestDatabase, new_database
from tests.operations.walk import Look, look

Enabled = frozenset[str]


@cache
def modules() -> dict[str, ModuleManifest]:
    return {each.name: each for each in registries.load(registries.available()).ordered}


def is_complete(enabled: Enabled) -> bool:
    return all(set(modules()[name].requires) <= enabled for name in enabled)


def tour(at: Enabled, done: set[frozenset[Enabled]]) -> Iterator[Enabled]:
    """Every way from one complete set of modules to another, by one module, there and back."""
    for name in modules():
        there = at ^ {name}
        if is_complete(there) and frozenset((at, there)) not in done:
            done.add(frozenset((at, there)))
            yield there
            yield from tour(there, done)
            yield at


def orders(at: Enabled = frozenset()) -> Iterator[tuple[str, ...]]:
    """Every order in which all modules can be enabled, one by one."""
    if len(at) == len(modules()):
        yield ()
    for name in modules():
        if name not in at and is_complete(at | {name}):
            yield from ((name, *rest) for rest in orders(at | {name}))


def apply(database: TestDatabase, enabled: Enabled) -> list[str]:
    """Enable exactly these; return which revisions ran."""
    ran: list[str] = []
    registry = Registry([modules()[name] for name in enabled])
    found = apply_unproven(
        registry,
        owner_url=database.owner_url,
        app_url=database.app_url,
        on_step=lambda step: ran.append(f"{step.line.name} {step.revision}"),
    )
    assert {each.state for each in found} == {"current"}
    assert shown(database) == {each for each in enabled if has_log(each)}
    return ran


def has_log(name: str) -> bool:
    return any(model.__tablename__ == "audit_logs" for model in modules()[name].models)


def shown(database: TestDatabase) -> set[str]:
    """The modules whose log the view shows."""
    with connect(database.owner_url) as connection:
        row = connection.execute(
            "SELECT pg_catalog.obj_description('bedplate.audit_log'::regclass)"
        ).fetchone()
    said = str(row[0]).partition(": ")[2].rstrip(".") if row else ""
    return set() if said == "none yet" else set(said.split(", "))


def kept(database: TestDatabase) -> tuple[Look, dict[str, str | None]]:
    """What the modules' schemas are, their rows, and the versions of all lines."""
    with connect(database.owner_url) as connection:
        seen = look(connection)
        versions = read_versions(connection, lines_of(modules().values()))
    return seen, {name: each.revision for name, each in versions.items()}


def of_the_modules(database: TestDatabase) -> Snapshot:
    with connect(database.owner_url) as connection:
        return read(connection, list(modules()))


def test_a_module_that_was_there_is_enabled_and_disabled_without_a_word(
    database: TestDatabase,
) -> None:
    everything = frozenset(modules())
    apply(database, everything)
    with connect(database.owner_url) as connection:
        generate_rows(connection, sorted(everything))
    before, versions = kept(database)
    assert set(versions) == {"bedplate", *everything}
    assert None not in versions.values()
    schemas = of_the_modules(database)
    moves = list(tour(everything, set()))
    assert len(moves) >= 2 * len(everything)
    for enabled in moves:
        assert apply(database, enabled) == [], f"enabling {sorted(enabled)} ran revisions"
        assert of_the_modules(database) == schemas, sorted(enabled)
        after, now = kept(database)
        assert (after.contents, now) == (before.contents, versions), sorted(enabled)
    apply(database, everything)
    assert kept(database) == (before, versions)


def test_in_whatever_order_they_came_the_database_is_the_same(server: Server) -> None:
    found = sorted(orders())
    # The first and the last differ most; with many modules there are thousands between them.
    chosen = {found[0], found[-1]}
    made: set[str] = set()
    for order in chosen:
        with new_database(server) as database:
            enabled: Enabled = frozenset()
            for name in ("", *order):
                before, _ = kept(database)
                enabled = enabled | ({name} - {""})
                ran = apply(database, enabled)
                assert {step.partition(" ")[0] for step in ran} <= {name or "bedplate"}
                after, _ = kept(database)
                assert {each: after.contents[each] for each in before.contents} == before.contents
                with connect(database.owner_url) as connection:
                    generate_rows(connection, ["bedplate", *sorted(enabled)], count=2)
            made.add(kept(database)[0].fingerprint)
    assert len(made) == 1


def test_what_another_needs_is_not_disabled() -> None:
    for enabled in map(frozenset, combinations(modules(), len(modules()) - 1)):
        if not is_complete(enabled):
            with pytest.raises(ModuleMissing, match="requires"):
                Registry([modules()[name] for name in enabled])
