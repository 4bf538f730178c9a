"""A snapshot as one text, and the hash of it: equal for equal schemas, wherever and when made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from bedplate.catalog.definitions import Definition, definitions
from bedplate.catalog.objects import Snapshot


def canonical(snapshot: Snapshot, *, owners: bool = False) -> str:
    """Return one block for each object, its parts indented below it, sorted by name.

    It depends on neither oids, times, passwords nor the session that read it; on who owns what
    only where `owners` are asked for.
    """
    return as_text(definitions(snapshot, owners=owners))


def fingerprint(snapshot: Snapshot, *, owners: bool = False) -> str:
    """Return the SHA-256 of the canonical text, in hexadecimal digits."""
    return hashlib.sha256(canonical(snapshot, owners=owners).encode()).hexdigest()


def as_text(found: Iterable[Definition]) -> str:
    """Return definitions as lines, a part's indented; a text of several lines keeps them."""
    return "".join(_entry(each) for each in found if not each.inherited)


def _entry(definition: Definition) -> str:
    is_part = definition.whole is not None
    margin = "    " if is_part else ""
    name = definition.path[-1] if is_part else ".".join(definition.path)
    if definition.about:
        name = f"on {definition.about} {name}"
    text = definition.text.rstrip()
    if "\n" in text:
        text = f"\n{text}".replace("\n", f"\n{margin}    ")
    return f"{margin}{definition.kind} {name}{': ' if text else ''}{text}\n"
