"""An invoice's page: all that it must say, the same bytes anywhere, any name, any length."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from bedplate.modules.accounting.document import content_of, render
from bedplate.modules.accounting.document.layout import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Rule,
    Text,
    lay_out,
)
from bedplate.modules.accounting.document.writing import Face, font, width_of, wrapped, written
from bedplate.modules.accounting.errors import ContentInvalid

STORED: dict[str, Any] = {
    "invoice_number": "2026030101",
    "issued_on": "2026-03-01",
    "due_on": "2026-04-15",
    "billed_on": "2026-02-28",
    "customer": {"id": "c-42", "name": "Ελένη Παπαδοπούλου", "email": "eleni@example.com"},
    "miners": 1250,
    "unit_price": "89.90",
    "total": "112375.00",
    "seller": "Norður ehf.\nKlettagarðar 12\n104 Reykjavík",
    "currency": "EUR",
}


def read(pdf: bytes) -> tuple[PdfReader, str]:
    reader = PdfReader(BytesIO(pdf), strict=True)
    return reader, "\n".join(page.extract_text() for page in reader.pages)


def called(name: str) -> dict[str, Any]:
    return {**STORED, "customer": {**STORED["customer"], "name": name}}


def test_the_page_says_everything_that_was_fixed_at_issue() -> None:
    reader, text = read(render(STORED))
    for said in (
        *("2026030101", "1 March 2026", "15 April 2026", "28 February 2026"),
        *("Ελένη Παπαδοπούλου", "eleni@example.com", "c-42"),
        *("1,250", "89.90", "112,375.00", "EUR 112,375.00"),
        *STORED["seller"].splitlines(),
    ):
        assert said in text, said
    assert len(reader.pages) == 1
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("Invoice 2026030101", "Norður ehf.")
    assert str(reader.metadata.creation_date) == "2026-03-01 00:00:00+00:00"


def test_what_a_host_does_not_have_is_left_out() -> None:
    bare = {name: STORED[name] for name in STORED if name not in ("seller", "currency")}
    bare |= {"customer": {"id": "7", "name": None, "email": None}, "billed_on": None}
    _, text = read(render(bare))
    assert "No. 7" in text
    assert "112,375.00" in text
    for absent in ("None", "From", "Billing date", "EUR"):
        assert absent not in text


def test_any_process_on_any_setting_makes_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import json, locale, sys\n"
        "try: locale.setlocale(locale.LC_ALL, '')\n"
        "except locale.Error: pass\n"
        "from bedplate.modules.accounting.document import render\n"
        "render({**json.loads(sys.argv[1]), 'currency': 'USD'})\n"
        "sys.stdout.buffer.write(render(json.loads(sys.argv[1])))\n"
    )
    (tmp_path / ".reportlab_settings").write_text("pageCompression = 0\ninvariant = 0\n")
    elsewhere = (
        {"PYTHONHASHSEED": "0", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {
            "PYTHONHASHSEED": "4711",
            "TZ": "America/St_Johns",
            "LC_ALL": "de_DE.UTF-8",
            "SOURCE_DATE_EPOCH": "1",
            "HOME": str(tmp_path),
            "RL_invariant": "0",
            "RL_pageCompression": "0",
            "RL_ttfAsciiReadable": "1",
        },
    )
    for environment in elsewhere:
        made = subprocess.run(
            [sys.executable, "-c", program, json.dumps(dict(reversed(STORED.items())))],
            env={"PYTHONIOENCODING": "utf-8", **environment},
            capture_output=True,
            check=True,
        )
        assert made.stdout == render(STORED)


def test_other_content_is_another_file() -> None:
    made = {
        render({**STORED, **change})
        for change in (
            {},
            {"due_on": "2026-04-16"},
            {"currency": "USD"},
            {"issued_on": "2026-03-02"},
        )
    }
    assert len(made) == 4
    assert len({str(PdfReader(BytesIO(pdf)).trailer["/ID"]) for pdf in made}) == 4


def test_the_letters_travel_with_the_file() -> None:
    reader, _ = read(render(STORED))
    resources: Any = reader.pages[0]["/Resources"]
    fonts = [face.get_object() for face in resources["/Font"].values()]
    assert len(fonts) == 2
    for face in fonts:
        assert "/FontFile2" in face["/FontDescriptor"].get_object()
    assert len(render(STORED)) < 40_000


@pytest.mark.parametrize(
    "name",
    [
        *("Łukasz Żółć", "Nguyễn Thị Hồng"),
        *("Юлия Щукина", "Straße №5"),
        *("Արամ Խաչատրյան", "გიორგი"),
    ],
)
def test_a_name_is_written_in_its_own_letters(name: str) -> None:
    _, text = read(render(called(name)))
    assert name in text
    assert "Latin letters" not in text


@pytest.mark.parametrize(
    ("name", "spelled"),
    [("王小明 Ltd", "WangXiaoMing Ltd *"), ("דוד", "dvd *"), ("Ann 😀", "Ann :grinning: *")],
)
def test_other_letters_are_romanised_and_the_page_says_so(name: str, spelled: str) -> None:
    reader, text = read(render(called(name)))
    assert spelled in text
    assert "Spelled in Latin letters here" in text
    assert reader.metadata is not None
    assert str(reader.metadata["/Keywords"]) == name


def test_marks_that_would_turn_or_hide_a_text_are_left_out() -> None:
    assert written("pay\u202e 001 \u202cEUR\x00\u200b\tnow") == ("pay 001 EUR now", False)
    assert written("Ame\u0301lie") == ("Amélie", False)


def test_both_faces_have_the_same_letters() -> None:
    regular, bold = (set(font(face).face.charToGlyph) for face in Face)
    assert regular == bold


def test_what_is_too_long_for_a_sheet_goes_on_on_the_next() -> None:
    lines = [f"line {number} of the seller" for number in range(150)]
    pdf = render({**called("W" * 3_000), "seller": "\n".join(lines)})
    reader, text = read(pdf)
    assert len(reader.pages) > 2
    for said in (*lines, "EUR 112,375.00", f"Page 1 of {len(reader.pages)}"):
        assert said in text
    assert text.count("W") == 3_000


@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=400), seller=st.text(max_size=4_000), miners=st.integers(1, 2**31 - 1))
def test_nothing_runs_off_the_sheet_whatever_is_written(
    name: str, seller: str, miners: int
) -> None:
    total = f"{miners * 100_000_000}.00"
    sums = {"miners": miners, "unit_price": "100000000.00", "total": total}
    sheets = lay_out(content_of({**called(name), **sums, "seller": seller}))
    for mark in (mark for sheet in sheets for mark in sheet):
        if isinstance(mark, Rule):
            assert LEFT <= mark.left < mark.right <= RIGHT
            continue
        width = width_of(mark.text, mark.style.face, mark.style.size)
        left = mark.x - width if mark.flush_right else mark.x
        assert left >= LEFT - 0.01
        assert left + width <= RIGHT + 0.01
        assert 40 <= mark.y <= TOP
    bodies = [[m for m in sheet if isinstance(m, Text) and m.y >= BOTTOM] for sheet in sheets]
    assert all(bodies)


def test_lines_break_between_words_and_long_words_anywhere() -> None:
    size = 10.0
    lines = wrapped("short words and " + "x" * 90 + " end", Face.REGULAR, size, 100)
    assert "".join(lines).replace(" ", "") == "shortwordsand" + "x" * 90 + "end"
    assert all(width_of(line, Face.REGULAR, size) <= 100 for line in lines)
    assert wrapped("one two", Face.REGULAR, size, 100) == ["one two"]


@pytest.mark.parametrize(
    "change",
    [
        {"miners": 1251},
        {"total": "1.00"},
        {"issued_on": "soon"},
        {"customer": None},
        {"miners": "x"},
    ],
)
def test_content_that_is_no_invoices_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ContentInvalid) as refused:
        render({**STORED, **change})
    assert "bedplate check" in str(refused.value)


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(ContentInvalid, match="invoice_number"):
        render({name: value for name, value in STORED.items() if name != "invoice_number"})
