"""What the page's fonts can write, and how wide it is.

Two faces of DejaVu are embedded: Latin, Greek, Cyrillic, Armenian and Georgian letters. What they
have no letters for, and what runs from right to left, is romanised.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from anyascii import anyascii
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

FONTS = Path(__file__).with_name("fonts")
"""The faces and their licence."""


class Face(Enum):
    """A weight; the value is the name of its file."""

    REGULAR = "DejaVuSansCondensed"
    BOLD = "DejaVuSansCondensed-Bold"


class Written(NamedTuple):
    """A text as the page writes it, and whether that is another spelling than the original."""

    text: str
    romanised: bool


def written(text: str) -> Written:
    """Return what the fonts can write of one line of text.

    Letters that they lack are spelled in Latin ones, word by word. What is not for reading
    (control characters, marks that turn the direction) is left out.
    """
    words = "".join(_readable(unicodedata.normalize("NFC", text))).split()
    spelled = [word if _is_writable(word) else anyascii(word) for word in words]
    return Written(" ".join(spelled), spelled != words)


def wrapped(text: str, face: Face, size: float, width: float) -> list[str]:
    """Cut a text into lines no wider than `width` points; between words where that is possible."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width_of(longer, face, size) <= width:
            lines[-1] = longer
            continue
        pieces = list(_pieces(word, face, size, width))
        lines += pieces if lines[-1] else []
        if not lines[0]:
            lines = pieces
    return lines


def width_of(text: str, face: Face, size: float) -> float:
    """Return a text's width in points."""
    return float(pdfmetrics.stringWidth(text, font(face).fontName, size))


@cache
def font(face: Face) -> TTFont:
    """Return a face, loaded once; no setting of the machine's has a say in it."""
    loaded = TTFont(face.value, FONTS / f"{face.value}.ttf", asciiReadable=False, shapable=False)
    registry: Any = pdfmetrics  # Its stubs leave the argument out.
    registry.registerFont(loaded)
    return loaded


def _readable(text: str) -> Iterator[str]:
    for letter in text:
        category = unicodedata.category(letter)
        if category in ("Cc", "Zl", "Zp", "Zs"):
            yield " "
        elif not category.startswith("C"):
            yield letter


def _is_writable(word: str) -> bool:
    return all(
        unicodedata.bidirectional(letter) not in ("R", "AL")
        and all(ord(letter) in font(face).face.charToGlyph for face in Face)
        for letter in word
    )


def _pieces(word: str, face: Face, size: float, width: float) -> Iterator[str]:
    piece = ""
    for letter in word:
        if piece and width_of(piece + letter, face, size) > width:
            yield piece
            piece = ""
        piece += letter
    yield piece
