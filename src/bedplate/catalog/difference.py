"""What differs between two snapshots, object by object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bedplate.catalog.definitions import Definition, Key, Place, definitions
from bedplate.catalog.fingerprint import as_text
from bedplate.catalog.objects import Snapshot

Action = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One object that differs: `name` is full (`shop.items.price` for a column or an index).

    `before` and `after` are its definitions, None where it is not there. A table that came or
    went is one change, whose definition holds its columns, indexes and all else that is its own.
    `table` is the table (view, type ...) that the object is a part of.
    """

    action: Action
    kind: str
    name: str
    before: str | None
    after: str | None
    table: str | None = None

    @property
    def sentence(self) -> str:
        """The change in words: `column shop.items.price was changed: int became bigint`."""
        said = f"{self.kind} {self.name} was {self.action}"
        if self.before is None or self.after is None:
            return said
        if "\n" in self.before + self.after:
            return said
        return f"{said}: {self.before or 'nothing'} became {self.after or 'nothing'}"


def difference(before: Snapshot, after: Snapshot, *, owners: bool = False) -> tuple[Change, ...]:
    """Return every object that only one of the snapshots has or that differs, sorted by name.

    Nothing is returned exactly when the fingerprints are equal. Who owns what counts where `owners`
    are asked for.
    """
    if before == after:
        return ()
    return tuple(_changes(_Side(before, owners), _Side(after, owners)))


class _Side:
    """One snapshot's definitions, by what tells them apart."""

    def __init__(self, snapshot: Snapshot, owners: bool) -> None:
        found = definitions(snapshot, owners=owners)
        self.objects = {each.place: each for each in found}
        self.wholes = {each.key for each in found if each.whole is None}
        self._parts: defaultdict[Key, list[Definition]] = defaultdict(list)
        for each in found:
            if each.whole is not None:
                self._parts[each.whole].append(each)

    def text(self, place: Place) -> str | None:
        """The definition of what is at a place, None where nothing is."""
        found = self.objects.get(place)
        return found.text if found else None

    def all_of(self, definition: Definition) -> str:
        """An object's definition; a table's is told with all of its parts."""
        if definition.whole is not None:
            return definition.text
        return as_text((definition, *self._parts[definition.key]))


def _changes(old: _Side, new: _Side) -> Iterator[Change]:
    places = old.objects.keys() | new.objects.keys()
    for place in sorted(each for each in places if old.text(each) != new.text(each)):
        was, now = old.objects.get(place), new.objects.get(place)
        # What a partition has from its parent, or had, is told by the parent.
        if all(each is None or each.inherited for each in (was, now)):
            continue
        if was is not None and now is not None:
            yield _change("changed", now, was.text, now.text)
        # The parts of what came or went as a whole are told by the whole.
        elif now is not None and (now.whole is None or now.whole in old.wholes):
            yield _change("added", now, None, new.all_of(now))
        elif was is not None and (was.whole is None or was.whole in new.wholes):
            yield _change("removed", was, old.all_of(was), None)


def _change(
    action: Action, definition: Definition, before: str | None, after: str | None
) -> Change:
    table = ".".join(definition.whole[1]) if definition.whole else None
    return Change(action, definition.kind, ".".join(definition.path), before, after, table)
