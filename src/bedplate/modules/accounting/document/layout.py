"""Where everything of an invoice stands: sheets of texts and rules, in points from the lower left.

One sheet of A4 is enough for nearly all; what is longer goes on on the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import Final

from bedplate.modules.accounting.document.content import Content
from bedplate.modules.accounting.document.writing import Face, width_of, wrapped, written

WIDTH, HEIGHT = 595.28, 841.89
LEFT, RIGHT = 56.0, WIDTH - 56.0
TOP, BOTTOM = HEIGHT - 60.0, 84.0
GUTTER = 18.0
MIDDLE = WIDTH / 2 + GUTTER / 2
COLUMN = RIGHT - MIDDLE
PRICE, MINERS = 438.0, 338.0

INK, GREY, ACCENT, PALE = "#1a1d21", "#68707a", "#0b5a6b", "#d5dade"
SIZE, SMALL, LARGE, TITLE = 10.0, 8.0, 14.0, 26.0
LEADING: Final = 1.45
MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a text looks."""

    size: float = SIZE
    face: Face = Face.REGULAR
    colour: str = INK

    @property
    def height(self) -> float:
        """The height of a line in points."""
        return self.size * LEADING


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `x` is its left end, or its right end where it is flush right."""

    x: float
    y: float
    text: str
    style: Style
    flush_right: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""

    left: float
    right: float
    y: float
    width: float
    colour: str


Mark = Text | Rule
PLAIN, STRONG = Style(), Style(face=Face.BOLD)
LABEL = Style(size=SMALL, colour=GREY)
HEADING = Style(size=SMALL, colour=ACCENT, face=Face.BOLD)
Lines = Sequence[tuple[str, Style]]


@dataclass(slots=True)
class Pen:
    """Writes downwards; begins another sheet where the last one is full."""

    sheets: list[list[Mark]] = field(default_factory=lambda: [[]])
    y: float = TOP

    def room(self, height: float) -> None:
        """See to it that so many points are left on the sheet."""
        if self.y - height < BOTTOM:
            self.sheets.append([])
            self.y = TOP

    def down(self, height: float) -> None:
        """Leave so many points out."""
        self.y -= height

    def put(self, x: float, text: str, style: Style, *, flush_right: bool = False) -> None:
        """Write a line where the pen stands."""
        self.sheets[-1].append(Text(x, self.y, text, style, flush_right))

    def rule(self, *, left: float = LEFT, width: float = 0.6, colour: str = PALE) -> None:
        """Draw a rule to the right margin."""
        self.sheets[-1].append(Rule(left, RIGHT, self.y, width, colour))

    def beside(self, left: Lines, right: Lines) -> None:
        """Write two columns line by line, on as many sheets as they take."""
        for pair in zip_longest(left, right):
            cells = [(x, cell) for x, cell in zip((LEFT, MIDDLE), pair, strict=True) if cell]
            height = max(style.height for _, (_, style) in cells)
            self.room(height)
            self.down(height)
            for x, (text, style) in cells:
                self.put(x, text, style)


def lay_out(content: Content) -> list[list[Mark]]:
    """Return the sheets of an invoice."""
    pen = Pen()
    _head(pen, content)
    spelled_otherwise = _parties(pen, content)
    _table(pen, content)
    _foot(pen, content, spelled_otherwise)
    return pen.sheets


def _head(pen: Pen, content: Content) -> None:
    pen.rule(width=2.4, colour=ACCENT)
    pen.down(46)
    pen.put(LEFT, "Invoice", Style(size=TITLE, face=Face.BOLD, colour=ACCENT))
    pen.put(RIGHT, content.invoice_number, Style(size=LARGE, face=Face.BOLD), flush_right=True)
    pen.down(36)
    days = [("Issued", content.issued_on), ("Due", content.due_on)]
    if content.billed_on is not None:
        days.insert(1, ("Billing date", content.billed_on))
    for place, (label, day) in enumerate(days):
        x = LEFT + place * (RIGHT - LEFT) / 4
        pen.put(x, label, HEADING)
        pen.down(PLAIN.height)
        pen.put(x, spelled(day), PLAIN)
        pen.down(-PLAIN.height)
    pen.down(PLAIN.height + 14)
    pen.rule()
    pen.down(GUTTER)


def _parties(pen: Pen, content: Content) -> bool:
    """Write who bills whom; return whether a name is spelled in other letters."""
    customer = content.customer
    blocks = [
        _block("From", content.seller.splitlines()),
        _block("Billed to", [customer.name or "", customer.email or "", f"No. {customer.id}"]),
    ]
    left, right = (block.lines for block in blocks)
    pen.beside(left or right, right if left else ())
    pen.down(3 * GUTTER)
    return any(block.romanised for block in blocks)


@dataclass(frozen=True, slots=True)
class _Block:
    lines: list[tuple[str, Style]]
    romanised: bool


def _block(heading: str, given: Sequence[str]) -> _Block:
    lines: list[tuple[str, Style]] = []
    paragraphs = [paragraph for paragraph in map(written, given) if paragraph.text]
    for paragraph in paragraphs:
        style = PLAIN if lines else STRONG
        text = paragraph.text + (" *" if paragraph.romanised else "")
        lines += [(line, style) for line in wrapped(text, style.face, style.size, COLUMN)]
    if lines:
        lines.insert(0, (heading, HEADING))
    return _Block(lines, any(paragraph.romanised for paragraph in paragraphs))


def _table(pen: Pen, content: Content) -> None:
    pen.room(150)
    for x, label in ((MINERS, "Miners"), (PRICE, "Price per miner"), (RIGHT, "Amount")):
        pen.put(x, label, HEADING, flush_right=True)
    pen.put(LEFT, "Description", HEADING)
    pen.down(8)
    pen.rule(width=1, colour=ACCENT)
    pen.down(20)
    pen.put(LEFT, "Miners in service", PLAIN)
    pen.put(MINERS, f"{content.miners:,}", PLAIN, flush_right=True)
    pen.put(PRICE, amount(content.unit_price), PLAIN, flush_right=True)
    pen.put(RIGHT, amount(content.total), PLAIN, flush_right=True)
    pen.down(12)
    pen.rule()
    pen.down(30)
    total = f"{written(content.currency).text} {amount(content.total)}".strip()
    style = Style(size=LARGE, face=Face.BOLD)
    pen.put(RIGHT, total, style, flush_right=True)
    before = RIGHT - width_of(total, style.face, style.size) - GUTTER
    pen.put(before, "Total", style, flush_right=True)
    pen.down(36)
    pen.put(
        LEFT,
        f"Please pay by {spelled(content.due_on)} and quote {content.invoice_number}.",
        Style(colour=GREY),
    )


def _foot(pen: Pen, content: Content, spelled_otherwise: bool) -> None:
    for number, sheet in enumerate(pen.sheets, start=1):
        pages = f"Page {number} of {len(pen.sheets)}"
        sheet.append(Rule(LEFT, RIGHT, 58, 0.6, PALE))
        sheet.append(Text(LEFT, 44, f"Invoice {content.invoice_number}", LABEL))
        sheet.append(Text(RIGHT, 44, pages, LABEL, flush_right=True))
        if spelled_otherwise:
            note = "* Spelled in Latin letters here; the file's properties have the original."
            sheet.append(Text(LEFT, 64, note, LABEL))


def amount(value: Decimal) -> str:
    """Write money the same way in every country's settings: 1,234.50."""
    return f"{value:,.2f}"


def spelled(day: date) -> str:
    """Write a day so that nobody takes its month for its day: 1 March 2026."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def original_spelling(content: Content) -> str:
    """Return what the page spells in other letters, as it was given; empty where nothing is."""
    customer = content.customer
    given = [*content.seller.splitlines(), customer.name or "", customer.email or ""]
    return "; ".join(text for text in given if written(text).romanised)
