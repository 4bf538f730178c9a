"""Sources: one setting as it was written, where, and how it is read and refused.

What the kernel's own settings and those of modules are parsed with.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bedplate.kernel.errors import SettingsError

YES = ("true", "yes", "on", "1")
NO = ("false", "no", "off", "0")


@dataclass(frozen=True, slots=True)
class Source:
    """A raw value with the key and the place it was read from, for messages."""

    key: str
    place: str
    value: object

    def refuse(self, why: str, write: str, *, show: bool = True) -> SettingsError:
        """Say what is wrong; `show=False` keeps a value that may be secret out of the text."""
        name = f"{self.key} = {self.value!r}" if show else self.key
        return SettingsError(f"{name} in {self.place} {why}.", write)


Parse = Callable[[Source], object]
"""Turns a source into a setting's value, or raises SettingsError."""


def whole(source: Source, smallest: int, largest: int) -> int:
    """Return a whole number within the limits; text of digits counts as one."""
    value = source.value
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,18}\s*", value):
        value = int(value)
    advice = f"Write a whole number from {smallest} to {largest}."
    if isinstance(value, bool) or not isinstance(value, int):
        raise source.refuse("is not a whole number", advice)
    if not smallest <= value <= largest:
        raise source.refuse("is out of range", advice)
    return value


def between(smallest: int, largest: int) -> Callable[[Source], int]:
    """Return what parses a whole number within the limits."""
    return lambda source: whole(source, smallest, largest)


MILLISECONDS = between(1, 86_400_000)
"""Parses a duration in milliseconds, up to a day."""


def flag(source: Source) -> bool:
    """Return true or false."""
    if isinstance(source.value, bool):
        return source.value
    word = source.value.strip().lower() if isinstance(source.value, str) else ""
    if word in YES or word in NO:
        return word in YES
    raise source.refuse("is neither true nor false", "Write true or false.")


def unknown(key: str, place: str, known: Iterable[str]) -> SettingsError:
    """Say that there is no such setting, and which one may have been meant."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1)
    advice = f"Did you mean {close[0]}?" if close else f"Known keys: {', '.join(names)}."
    return SettingsError(f"{key} in {place} is not a setting.", advice)
