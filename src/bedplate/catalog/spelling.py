"""Expressions that PostgreSQL writes in two ways, written in one."""

from __future__ import annotations

import re

_ELEMENT = r"E?'(?:[^']|'')*'::[\w .\"]+(?:\(\d+\))?"
ELEMENT = re.compile(_ELEMENT)
CAST_OF_ARRAY = re.compile(
    rf"\(ARRAY\[(?P<list>{_ELEMENT}(?:, {_ELEMENT})*)\]\)::(?P<to>[\w .\"]+)\[\]"
)
MARK = "(ARRAY["


def settled(text: str) -> str:
    """Return the text the way PostgreSQL writes it once it has read its own output.

    `IN` on a varchar is kept as `(ARRAY['a'::varchar])::text[]`; a dump that is restored turns it
    into `ARRAY[('a'::varchar)::text]`, which then stays.
    """
    return CAST_OF_ARRAY.sub(_cast_each, text) if MARK in text else text


def _cast_each(found: re.Match[str]) -> str:
    elements = (f"({each[0]})::{found['to']}" for each in ELEMENT.finditer(found["list"]))
    return f"ARRAY[{', '.join(elements)}]"
