"""Definitions spelled so that PostgreSQL, having read them, spells them as it did before."""

from __future__ import annotations

import re

# `state IN ('A', 'B')` on a varchar is shown as a cast array; that, read again (from a dump), is
# shown as an array of casts. Written as it was meant it comes out the same every time.
_ITEM = r"'(?:[^']|'')*'::character varying"
_CAST = rf"\({_ITEM}\)::text"
_OUT_OF_LIST = re.compile(
    r"\((?P<column>[\w$]+|\"[^\"]+\")\)::text (?P<test>= ANY|<> ALL) \((?:"
    rf"\(ARRAY\[(?P<items>{_ITEM}(?:, {_ITEM})*)\]\)::text\[\]"
    rf"|ARRAY\[(?P<casts>{_CAST}(?:, {_CAST})*)\])\)"
)
_VALUE = re.compile(r"('(?:[^']|'')*')::character varying")
_TESTS = {"= ANY": "IN", "<> ALL": "NOT IN"}


def respelled(definition: str) -> str:
    """Return an equal definition that is stable, and easier to read."""

    def as_list(found: re.Match[str]) -> str:
        items = ", ".join(_VALUE.findall(found["items"] or found["casts"]))
        return f"{found['column']} {_TESTS[found['test']]} ({items})"

    return _OUT_OF_LIST.sub(as_list, definition)
