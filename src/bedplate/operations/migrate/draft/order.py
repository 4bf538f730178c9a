"""An order in which every element comes after what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bedplate.operations.migrate.draft.element import KINDS, Element, Key
from bedplate.operations.migrate.draft.names import Named

RANK = {kind: place for place, kind in enumerate(KINDS)}


def ordered(elements: Iterable[Element]) -> list[Element]:
    """Sort so that what is needed comes first; kinds and names decide where nothing else does.

    Where two need each other (a table's default calls a function that reads the table), the kinds
    decide too.
    """
    waiting = sorted(elements, key=lambda each: (RANK[each.kind], each.name))
    by_key = {each.key: each for each in waiting}
    providers = providers_of(waiting)
    done: dict[Key, Element] = {}
    on_the_way: set[Key] = set()

    def visit(element: Element) -> None:
        if element.key in done or element.key in on_the_way:
            return
        on_the_way.add(element.key)
        for key in needed(element, providers):
            if key in by_key:
                visit(by_key[key])
        on_the_way.discard(element.key)
        done[element.key] = element

    for element in waiting:
        visit(element)
    return list(done.values())


def providers_of(elements: Iterable[Element]) -> dict[Named, list[Key]]:
    """Return which elements bring about each qualified name: functions may share one."""
    found: dict[Named, list[Key]] = {}
    for element in elements:
        if element.provides is not None:
            found.setdefault(element.provides, []).append(element.key)
    return found


def needed(element: Element, providers: Mapping[Named, list[Key]]) -> list[Key]:
    """Return the keys of what an element cannot be without, its owner first."""
    owner = [element.owner] if element.owner is not None else []
    others = sorted(key for name in element.needs for key in providers.get(name, ()))
    return [*owner, *(key for key in others if key not in owner and key != element.key)]
