"""Every object's definition by its place, as a repair compares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bedplate.catalog import Connection, Snapshot, definitions, read
from bedplate.kernel.lines import Drifted, Place


def definitions_of(connection: Connection, schema: str) -> Mapping[Place, str]:
    """Read a schema's objects, those of an open transaction too."""
    return placed(read(connection, [schema]))


def placed(snapshot: Snapshot) -> dict[Place, str]:
    """Return every object's definition by what it is and its full name."""
    return {
        (
            f"{each.kind} on {each.about}" if each.about else each.kind,
            ".".join(each.path),
        ): each.text
        for each in definitions(snapshot)
    }


def drift_between(made: Snapshot, found: Snapshot) -> Iterator[Drifted]:
    """Return what differs, object by object; of what came or went whole, only the whole."""
    before, after = placed(made), placed(found)
    wholes = {
        (each.kind, ".".join(each.path)): each.whole and (each.whole[0], ".".join(each.whole[1]))
        for snapshot in (made, found)
        for each in definitions(snapshot)
        if not each.about
    }
    for place in sorted(before.keys() | after.keys()):
        whole = wholes.get(place)
        came_whole = whole is not None and (whole in before) != (whole in after)
        if before.get(place) != after.get(place) and not came_whole:
            yield Drifted(place, found=after.get(place), made=before.get(place))
