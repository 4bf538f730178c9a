"""The page as a PDF: the same bytes for the same content, on any machine with these libraries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import msgspec
from reportlab.lib.colors import HexColor
from reportlab.pdfgen.canvas import Canvas

from bedplate.modules.accounting.document.content import Content, content_of
from bedplate.modules.accounting.document.layout import (
    HEIGHT,
    WIDTH,
    Mark,
    Rule,
    lay_out,
    original_spelling,
)
from bedplate.modules.accounting.document.writing import Face, font


def render(stored: Mapping[str, Any]) -> bytes:
    """Return the PDF of stored content; raises ContentInvalid.

    Nothing but the content goes into it: the file's date is the day of issue, its id a hash of the
    content. It takes some milliseconds of processor time and nothing else.
    """
    content = content_of(stored)
    into = BytesIO()
    # Else the first page would begin in a face of the reader's own.
    begins: Any = font(Face.REGULAR).fontName
    canvas = Canvas(
        into,
        pagesize=(WIDTH, HEIGHT),
        pageCompression=1,
        invariant=1,
        pdfVersion=(1, 7),
        initialFontName=begins,
        lang="en",
    )
    _say_what_it_is(canvas, content)
    for sheet in lay_out(content):
        for mark in sheet:
            _draw(canvas, mark)
        canvas.showPage()
    canvas.save()
    return into.getvalue()


def _say_what_it_is(canvas: Any, content: Content) -> None:
    canvas.setTitle(f"Invoice {content.invoice_number}")
    canvas.setAuthor(content.seller.partition("\n")[0])
    canvas.setSubject(f"Invoice {content.invoice_number}")
    canvas.setCreator("Bedplate")
    canvas.setProducer("ReportLab")
    canvas.setKeywords(original_spelling(content))
    canvas.setViewerPreference("DisplayDocTitle", "true")
    issued = content.issued_on.isoformat().replace("-", "")

    def day_of_issue(*_: object) -> str:
        return f"D:{issued}000000Z"

    canvas.setDateFormatter(day_of_issue)
    # The library would begin its hash with a moment, which SOURCE_DATE_EPOCH moves.
    canvas._doc.signature = hashlib.sha256(msgspec.json.encode(content))


def _draw(canvas: Canvas, mark: Mark) -> None:
    if isinstance(mark, Rule):
        canvas.setStrokeColor(HexColor(mark.colour))
        canvas.setLineWidth(mark.width)
        canvas.line(mark.left, mark.y, mark.right, mark.y)
        return
    canvas.setFillColor(HexColor(mark.style.colour))
    canvas.setFont(font(mark.style.face).fontName, mark.style.size)
    write = canvas.drawRightString if mark.flush_right else canvas.drawString
    write(mark.x, mark.y, mark.text)
