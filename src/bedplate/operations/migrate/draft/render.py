"""From one snapshot to another: the statements that lead there, in an order that works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bedplate.catalog import Column, Snapshot
from bedplate.kernel.errors import DraftRefused
from bedplate.operations.migrate.draft.altering import ON_A_TYPE, altered, disturbs
from bedplate.operations.migrate.draft.element import Element, Key
from bedplate.operations.migrate.draft.flatten import flattened
from bedplate.operations.migrate.draft.order import needed, ordered, providers_of

# What hangs on tables goes before they change; what others stand on goes when they have.
EARLY = frozenset(
    {
        "default",
        "constraint",
        "index",
        "statistics",
        "foreign key",
        "rule",
        "trigger",
        "policy",
        "setting",
        "comment",
        "grant",
    }
)

HINDERED_BY = {
    "foreign key": "table",
    "trigger": "function",
    "policy": "function",
    "rule": "function",
}
"""What of a table may stand in the way of something else that goes: of which kind that is."""


def statements(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """Return the statements that make of a database at `before` one at `after`; () where equal.

    The way back is `statements(after, before)`. Columns and tables that are in `after` only are
    new: what was renamed must have been renamed before. All of it is one transaction: what should
    not be, on a table in use, is to be split off before (see `apart`).

    Raises DraftRefused for what cannot be changed in place without losing rows: a table that
    becomes partitioned, a domain of another type; and for kinds that it cannot spell.
    """
    return tuple(Way(flattened(before), flattened(after)).statements())


class Way:
    """The way from the elements of one snapshot to those of another.

    `added`, `removed`, `replaced` and the keys of `alterations` say what happens to which;
    `written_anew` are the columns whose rows PostgreSQL may have to write again.
    """

    def __init__(self, before: Iterable[Element], after: Iterable[Element]) -> None:
        self.before = {each.key: each for each in ordered(before)}
        self.after = {each.key: each for each in ordered(after)}
        self.providers = providers_of(self.before.values())
        self.removed = self.before.keys() - self.after.keys()
        self.added = self.after.keys() - self.before.keys()
        both = self.before.keys() & self.after.keys()
        changed = {key for key in both if self.before[key].definition != self.after[key].definition}
        self.alterations: dict[Key, tuple[str, ...]] = {}
        self.replaced: set[Key] = set()
        for key in changed:
            way = altered(self.before[key], self.after[key])
            if way is None:
                self.replaced.add(key)
            else:
                self.alterations[key] = way
        self._spread()

    def statements(self) -> Iterator[str]:
        """Yield the statements, in an order that works."""
        if any(key[0] == "function" for key in (*self.added, *self.replaced)):
            # A body may name what is made after it; it is looked at when it runs.
            yield "SET LOCAL check_function_bodies = off"
        backwards = list(reversed(self.before.values()))
        early = [each for each in backwards if self._goes_early(each)]
        gone = {element.key for element in early}
        for element in early:
            yield from self._dropped(element)
        for element in self.after.values():
            yield from self._forward(element)
        for element in backwards:
            is_late = element.key in self.removed and element.key not in gone
            if is_late and not self._goes_along(element):
                yield from self._dropped(element)

    @property
    def touched(self) -> set[Key]:
        """What existed before and is not left as it was."""
        return self.removed | self.replaced | self.alterations.keys() | self.shaken.keys()

    @property
    def written_anew(self) -> set[Key]:
        """The columns whose rows PostgreSQL may have to write again."""
        computed = {key for key in self.replaced if _is_computed(self.before[key])}
        return self.shaken.keys() | computed

    def _forward(self, element: Element) -> Iterator[str]:
        key = element.key
        if self._is_made(key):
            if element.inline and element.owner is not None and self._is_made(element.owner):
                return
            if element.automatic:
                return
            self._refuse_unspoken(element.create, element)
            yield from element.create
        elif key in self.alterations:
            yield from self.alterations[key]

    def _dropped(self, element: Element) -> tuple[str, ...]:
        if element.automatic:
            return ()
        self._refuse_unspoken(element.drop, element)
        return element.drop

    def _refuse_unspoken(self, said: tuple[str, ...], element: Element) -> None:
        if not said:
            raise DraftRefused(
                f"{element.kind} {element.name} differs, and is of a kind that is not drafted.",
                "Write its statements by hand.",
            )

    def _is_made(self, key: Key) -> bool:
        return key in self.added or key in self.replaced

    def _goes(self, key: Key) -> bool:
        return key in self.removed or key in self.replaced

    def _goes_along(self, element: Element) -> bool:
        """Tell whether its owner takes it along."""
        return element.owner is not None and self._goes(element.owner)

    def _goes_early(self, element: Element) -> bool:
        if not self._goes(element.key):
            return False
        if self._hinders(element):
            return True
        if self._goes_along(element):
            return False
        if element.key in self.replaced or element.kind in EARLY:
            return True
        return element.provides is not None and element.provides in self._new_names()

    def _hinders(self, element: Element) -> bool:
        """Tell whether something else that goes cannot, while this stands.

        A table does not go while another points at it, nor a function while a table calls it,
        whichever of the two goes first.
        """
        kind = HINDERED_BY.get(element.kind)
        return kind is not None and any(
            self._goes(key) and key != element.owner and key[0] == kind
            for key in needed(element, self.providers)
        )

    def _new_names(self) -> frozenset[tuple[str, str]]:
        made = (self.after[key].provides for key in self.added)
        return frozenset(name for name in made if name is not None)

    def _spread(self) -> None:
        """Have what stands on something that goes, or changes under it, made anew."""
        dependents: dict[Key, list[Key]] = {}
        for element in self.before.values():
            for key in needed(element, self.providers):
                dependents.setdefault(key, []).append(element.key)
        shaken = {
            key: kinds
            for key in self.alterations
            if (kinds := disturbs(self.before[key], self.after[key]))
        }
        self.shaken = shaken
        gone = {*self.replaced, *(key for key in self.removed if self._collides(key))}
        waiting = [*gone, *shaken]
        while waiting:
            moved = waiting.pop()
            for key in dependents.get(moved, ()):
                if key in self.replaced or key in self.removed:
                    continue
                element = self.before[key]
                is_in_the_way = moved in shaken and (
                    element.kind in shaken[moved] or _is_computed(element)
                )
                if is_in_the_way or (moved in gone and not _outlives(element)):
                    self.alterations.pop(key, None)
                    self.replaced.add(key)
                    gone.add(key)
                    waiting.append(key)
                elif moved[0] == "enum" and element.kind == "column" and key not in shaken:
                    # The column takes the new type: what reads the column is in its way.
                    shaken[key] = ON_A_TYPE
                    waiting.append(key)

    def _collides(self, key: Key) -> bool:
        name = self.before[key].provides
        return name is not None and key[0] not in EARLY and name in self._new_names()


def _outlives(element: Element) -> bool:
    """Tell whether an element is never made anew because of others: it holds rows."""
    return element.kind == "table" or (element.kind == "column" and not _is_computed(element))


def _is_computed(element: Element) -> bool:
    return isinstance(element.source, Column) and bool(element.source.generated)
