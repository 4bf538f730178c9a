"""A statement as a linter sees it: its words, the relations it names, an ALTER TABLE's actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bedplate.operations.migrate.tokens import Token, matches, tokens

Words = tuple[Token, ...]

# What may stand between a verb and the name of what it is about.
_BETWEEN = frozenset(
    {
        *("IF", "NOT", "EXISTS", "ONLY", "TABLE", "CONCURRENTLY", "FOREIGN", "INTO"),
        *("TEMP", "TEMPORARY", "UNLOGGED", "GLOBAL", "LOCAL"),
    }
)


@dataclass(frozen=True)
class Statement:
    """One statement, without a semicolon."""

    text: str

    @cached_property
    def words(self) -> Words:
        """Its tokens."""
        return tokens(self.text)

    def starts(self, *words: str) -> bool:
        """Tell whether it begins with these words."""
        return matches(self.words, 0, *words)

    def has(self, *words: str) -> bool:
        """Tell whether these words stand together somewhere in it, also inside of brackets."""
        return has(self.words, *words)

    @cached_property
    def table(self) -> str | None:
        """The first relation it is about, as schema.name without quotes; None for none."""
        return next(iter(self.tables), None)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Every relation that it is about (DROP TABLE and TRUNCATE may name several)."""
        if self.starts("CREATE") and (self.has("INDEX") or self.has("TRIGGER")):
            after = position(self.words, "ON")
            return tuple(_names(self.words, after + 1))[:1] if after is not None else ()
        for verb in _VERBS:
            if self.starts(*verb):
                several = verb[0] in ("DROP", "TRUNCATE", "LOCK")
                found = tuple(_names(self.words, len(verb)))
                return found if several else found[:1]
        return ()

    @cached_property
    def creates(self) -> str | None:
        """The table that it creates, or None."""
        return self.table if self._makes_table else None

    @cached_property
    def actions(self) -> tuple[Words, ...]:
        """What an ALTER TABLE does, one by one; empty for other statements."""
        if not self.starts("ALTER", "TABLE"):
            return ()
        at = 2
        while at < len(self.words) and self.words[at].value in _BETWEEN:
            at += 1
        at = _name_end(self.words, at)
        return tuple(_between_commas(self.words[at:]))

    def quote(self, words: Words) -> str:
        """Return a part of it as it was written."""
        return self.text[words[0].start : words[-1].end] if words else ""

    @property
    def _makes_table(self) -> bool:
        head = [word.value for word in self.words[:4] if word.kind == "word"]
        made = head[:1] == ["CREATE"] and next(
            (each for each in head[1:] if each not in _BETWEEN - {"TABLE"}), ""
        )
        return made == "TABLE"


_VERBS = (
    ("ALTER", "TABLE"),
    ("DROP", "TABLE"),
    ("TRUNCATE",),
    ("UPDATE",),
    ("DELETE", "FROM"),
    ("INSERT", "INTO"),
    ("LOCK",),
    ("CLUSTER",),
    ("CREATE",),
)


def has(words: Sequence[Token], *wanted: str) -> bool:
    """Tell whether these words stand together somewhere in a part of a statement."""
    return position(words, *wanted) is not None


def position(words: Sequence[Token], *wanted: str) -> int | None:
    """Return the place of the first of these words that stand together, or None."""
    places = range(len(words) - len(wanted) + 1)
    return next((place for place in places if matches(words, place, *wanted)), None)


def outside(words: Sequence[Token]) -> Words:
    """Return a part of a statement without what stands in its brackets."""
    kept: list[Token] = []
    depth = 0
    for word in words:
        depth -= word.kind == "symbol" and word.value == ")"
        if depth == 0:
            kept.append(word)
        depth += word.kind == "symbol" and word.value == "("
    return tuple(kept)


def name_at(words: Sequence[Token], at: int) -> str:
    """Return the name at a place, schema.name without quotes; empty where there is none."""
    end = _name_end(words, at)
    return ".".join(part for word in words[at:end] if (part := word.identifier) is not None)


def _name_end(words: Sequence[Token], at: int) -> int:
    end = at + 1
    while matches(words, end, "."):
        end += 2
    return min(end, len(words))


def _names(words: Sequence[Token], at: int) -> Iterator[str]:
    while at < len(words):
        while at < len(words) and words[at].kind == "word" and words[at].value in _BETWEEN:
            at += 1
        name = name_at(words, at)
        if not name:
            return
        yield name
        at = _name_end(words, at)
        if not matches(words, at, ","):
            return
        at += 1


def _between_commas(words: Sequence[Token]) -> Iterator[Words]:
    depth, begin = 0, 0
    for place, word in enumerate(words):
        if word.kind == "symbol":
            depth += {"(": 1, ")": -1}.get(word.value, 0)
            if word.value == "," and depth == 0:
                yield tuple(words[begin:place])
                begin = place + 1
    if words[begin:]:
        yield tuple(words[begin:])
