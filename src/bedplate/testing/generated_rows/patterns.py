"""A text that a regular expression matches, for rules such as CHECK (code ~ '^[A-Z]{3}$')."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass

REPEATED_MAX = 64
"""The most times a part is repeated; a pattern that wants more is not understood."""

CHARACTERS_MAX = 10_000
"""How many characters are chosen at most: repeats of repeats grow without end."""

ROOM = 8
"""How often a character is repeated where the pattern leaves it open."""

_REPEAT = re.compile(r"(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??")
_NAMED = {
    "alpha": string.ascii_lowercase,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "digit": string.digits,
    "alnum": string.digits + string.ascii_lowercase,
    "xdigit": string.digits + "abcdef",
    "word": string.digits + string.ascii_lowercase,
    "space": " ",
    "punct": "-_.",
}
_ESCAPED = {"d": "digit", "w": "word", "s": "space"}
_ANY = string.digits + string.ascii_lowercase
_PRINTABLE = _ANY + string.ascii_uppercase + " " + string.punctuation


def matching(pattern: str, number: int) -> str | None:
    """Return a text that the pattern matches, another one for another number as far as it goes.

    None for what is not understood: look-around, references, classes of what nobody types.
    """
    reader = _Reader(pattern, number)
    try:
        text = reader.either()
    except (_Strange, IndexError):
        return None
    return text if reader.place == len(pattern) else None


class _Strange(Exception):
    """The pattern says something that this file does not know."""


@dataclass(slots=True)
class _Reader:
    pattern: str
    number: int
    place: int = 0
    characters: int = 0

    def either(self) -> str:
        """Read alternatives up to the end or a closing parenthesis; the number chooses one."""
        before = self.number
        found = [(self._sequence(), self.number)]
        while self._next_is("|"):
            self.place += 1
            self.number = before
            found.append((self._sequence(), self.number))
        text, self.number = found[before % len(found)]
        return text

    def _sequence(self) -> str:
        parts: list[str] = []
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            room = ROOM if self.pattern[self.place] != "(" else 1
            make = self._part()
            parts += [make() for _ in range(self._times(room))]
        return "".join(parts)

    def _next_is(self, character: str) -> bool:
        return self.pattern[self.place : self.place + 1] == character

    def _part(self) -> Callable[[], str]:
        character = self.pattern[self.place]
        self.place += 1
        if character in "^$":
            return str
        if character == "(":
            return self._group()
        if character == "[":
            return self._one_of(self._class())
        if character == ".":
            return self._one_of(_ANY)
        if character == "\\":
            return self._one_of(self._escaped())
        if character in "*+?{":
            raise _Strange
        return self._one_of(character)

    def _group(self) -> Callable[[], str]:
        if self._next_is("?"):
            if not self.pattern.startswith("?:", self.place):
                raise _Strange
            self.place += 2
        start, before = self.place, self.number
        self.either()
        end, self.number = self.place, before
        if not self._next_is(")"):
            raise _Strange
        self.place += 1

        def again() -> str:
            after, self.place = self.place, start
            text = self.either()
            assert self.place == end, "the same group is read again"
            self.place = after
            return text

        return again

    def _class(self) -> str:
        negated = self._next_is("^")
        self.place += negated
        found = ""
        first = True
        while first or not self._next_is("]"):
            first = False
            named = re.compile(r"\[:(\w+):\]").match(self.pattern, self.place)
            if named:
                found += _NAMED.get(named[1], "")
                self.place = named.end()
                continue
            character = self.pattern[self.place]
            self.place += 1
            if character == "\\":
                found += self._escaped()
            elif self._next_is("-") and self.pattern[self.place + 1] != "]":
                last = self.pattern[self.place + 1]
                self.place += 2
                found += "".join(map(chr, range(ord(character), min(ord(last), 0x7F) + 1)))
            else:
                found += character
        self.place += 1
        return (
            "".join(each for each in _ANY + _PRINTABLE if each not in found) if negated else found
        )

    def _escaped(self) -> str:
        character = self.pattern[self.place]
        self.place += 1
        if character in _ESCAPED:
            return _NAMED[_ESCAPED[character]]
        if character.isalnum():
            raise _Strange
        return character

    def _times(self, room: int) -> int:
        """Read how often a part comes: `room` times where it may, so that the number fits in."""
        found = _REPEAT.match(self.pattern, self.place)
        if found is None:
            return 1
        self.place = found.end()
        sign, least, comma, most = found.groups()
        low, high = {"*": (0, room), "+": (1, room), "?": (0, 0)}.get(sign, (0, 0))
        if least is not None:
            low = int(least)
            high = low if comma is None else int(most or room)
        if low > REPEATED_MAX:
            raise _Strange
        return max(low, min(high, room))

    def _one_of(self, characters: str) -> Callable[[], str]:
        if not characters:
            raise _Strange

        def choose() -> str:
            self.characters += 1
            if self.characters > CHARACTERS_MAX:
                raise _Strange
            self.number, turn = divmod(self.number, len(characters))
            return characters[turn]

        return choose
