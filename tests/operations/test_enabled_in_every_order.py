"""Modules enabled and disabled in every order that their needs allow, over rows in every table.

What `registry.available()` finds takes part: a module that is written later does so by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import combinations

import pytest

from bedplate.catalog import Connection, Schema, connect, read_versions
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


class Database:
    """One database, asked over one connection."""

    def __init__(self, place: TestDatabase, connection: Connection) -> None:
        self._place = place
        self._connection = connection

    def enable(self, enabled: Enabled) -> list[str]:
        """Enable exactly these; return which revisions ran."""
        ran: list[str] = []
        found = apply_unproven(
            Registry([modules()[name] for name in enabled]),
            owner_url=self._place.owner_url,
            app_url=self._place.app_url,
            on_step=lambda step: ran.append(f"{step.line.name} {step.revision}"),
        )
        assert {each.state for each in found} == {"current"}
        assert self.shown() == {each for each in enabled if has_log(each)}
        return ran

    def fill(self, enabled: Enabled) -> None:
        generate_rows(self._connection, ["bedplate", *sorted(enabled)], count=2)

    def shown(self) -> set[str]:
        """The modules whose log the view shows."""
        row = self._connection.execute(
            "SELECT pg_catalog.obj_description('bedplate.audit_log'::regclass)"
        ).fetchone()
        said = str(row[0]).partition(": ")[2].rstrip(".") if row else ""
        return set() if said == "none yet" else set(said.split(", "))

    def look(self) -> Look:
        return look(self._connection)

    def versions(self) -> dict[str, str | None]:
        found = read_versions(self._connection, lines_of(modules().values()))
        return {name: each.revision for name, each in found.items()}


def has_log(name: str) -> bool:
    return any(model.__tablename__ == "audit_logs" for model in modules()[name].models)


def only(seen: Look, names: Iterable[str]) -> dict[str, Schema | None]:
    return {name: seen.snapshot.schema(name) for name in names}


@contextmanager
def opened(place: TestDatabase) -> Generator[Database]:
    with connect(place.owner_url, autocommit=True) as connection:
        yield Database(place, connection)


def test_a_module_that_was_there_is_enabled_and_disabled_without_a_word(
    database: TestDatabase,
) -> None:
    everything = frozenset(modules())
    moves = list(tour(everything, set()))
    assert len(moves) >= 2 * len(everything)
    with opened(database) as one:
        one.enable(everything)
        one.fill(everything)
        before, versions = one.look(), one.versions()
        assert set(versions) == {"bedplate", *everything}
        assert None not in versions.values()
        for enabled in moves:
            assert one.enable(enabled) == [], f"enabling {sorted(enabled)} ran revisions"
            after = one.look()
            assert only(after, everything) == only(before, everything), sorted(enabled)
            assert after.contents == before.contents, sorted(enabled)
            assert one.versions() == versions, sorted(enabled)
        assert moves[-1] == everything
        assert one.look() == before


def test_in_whatever_order_they_came_the_database_is_the_same(server: Server) -> None:
    found = sorted(orders())
    made: set[str] = set()
    # The first and the last differ most; with many modules there are thousands between them.
    for order in {found[0], found[-1]}:
        with new_database(server) as place, opened(place) as one:
            enabled: Enabled = frozenset()
            one.enable(enabled)
            for name in order:
                one.fill(enabled)
                before = one.look().contents
                enabled = enabled | {name}
                assert {step.partition(" ")[0] for step in one.enable(enabled)} == {name}
                after = one.look().contents
                assert {each: after[each] for each in before} == before, (name, order)
            made.add(one.look().fingerprint)
    assert len(made) == 1


def test_what_another_needs_is_not_disabled() -> None:
    for enabled in map(frozenset, combinations(modules(), len(modules()) - 1)):
        if not is_complete(enabled):
            with pytest.raises(ModuleMissing, match="requires"):
                Registry([modules()[name] for name in enabled])
