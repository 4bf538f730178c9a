"""Every object's definition by its place, as a repair compares them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bedplate.catalog import Connection, Definition, Snapshot, definitions, read
from bedplate.kernel.lines import Drifted, Place

Roles = Mapping[str, str]
"""What each role is called here, by what it is for: app, reader, guarded."""


def definitions_of(connection: Connection, schema: str, roles: Roles) -> Mapping[Place, str]:
    """Read a schema's objects, those of an open transaction too."""
    return placed(read(connection, [schema]), roles)


def placed(snapshot: Snapshot, roles: Roles) -> dict[Place, str]:
    """Return every object's definition by what it is and its full name."""
    return {_place(each): neutral(each.text, roles) for each in definitions(snapshot)}


def drift_between(made: Snapshot, found: Snapshot, roles: Roles) -> Iterator[Drifted]:
    """Return what differs, object by object; of what came or went whole, only the whole."""
    before, after = placed(made, roles), placed(found, roles)
    wholes = {
        _place(each): (each.whole[0], ".".join(each.whole[1]))
        for snapshot in (made, found)
        for each in definitions(snapshot)
        if each.whole is not None
    }
    for place in sorted(before.keys() | after.keys()):
        whole = wholes.get(place)
        came_whole = whole is not None and (whole in before) != (whole in after)
        if before.get(place) != after.get(place) and not came_whole:
            yield Drifted(place, found=after.get(place), made=before.get(place))


def neutral(text: str, roles: Roles) -> str:
    """Return a text without the roles' names, which other databases have otherwise."""
    for role, name in roles.items():
        text = re.sub(rf'(?<![\w$"])"?{re.escape(name)}"?(?![\w$"])', f"{{role:{role}}}", text)
    return text


def _place(definition: Definition) -> Place:
    kind = f"{definition.kind} on {definition.about}" if definition.about else definition.kind
    return kind, ".".join(definition.path)
