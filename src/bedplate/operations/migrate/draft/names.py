"""Names as SQL writes them, and which names a text of SQL mentions."""

from __future__ import annotations

import re

from sqlalchemy.dialects import postgresql

Named = tuple[str, str]
"""A schema and what is in it, both as PostgreSQL stores them."""

_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
_PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_QUALIFIED = re.compile(rf"(?<![\w$\"])({_PART})\.({_PART})")
_WORD = re.compile(_PART)


def quoted(*parts: str) -> str:
    """Return a name, its parts joined by dots; each is quoted only where it must be."""
    return ".".join(_quote(part) for part in parts)


def literal(text: str | None) -> str:
    """Return text as a constant; None as NULL."""
    if text is None:
        return "NULL"
    mark = " E" if "\\" in text else ""
    return f"{mark}'{text.replace(chr(92), chr(92) * 2).replace(chr(39), chr(39) * 2)}'"


def mentioned(text: str) -> frozenset[Named]:
    """Return every qualified name in a definition that was read with an empty search_path."""
    return frozenset((_plain(first), _plain(second)) for first, second in _QUALIFIED.findall(text))


def words(text: str) -> frozenset[str]:
    """Return every identifier in a definition: those of columns are among them."""
    return frozenset(map(_plain, _WORD.findall(text)))


def _plain(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
