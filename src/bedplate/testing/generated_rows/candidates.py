"""Likely values of a type, as PostgreSQL reads them from text; which of them fit, the server says.

The first belongs to the running number alone, so that it is unique. What follows is likely to
please a rule: what the rules themselves mention, and what everybody writes rules about.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

from bedplate.testing.generated_rows.patterns import matching
from bedplate.testing.generated_rows.tables import ValueType

START = datetime(2026, 1, 1, tzinfo=UTC)
SIZES_MAX = 2_000
"""How long a text or bytea is made at most because a rule mentions its length."""

MOMENTS_MAX = 1_000_000
"""How many different moments there are; then they begin anew."""

_STRING = re.compile(r"'((?:[^']|'')*)'")
_MATCHED = re.compile(r"(?<![~!])~\*? '((?:[^']|'')*)'")
_NUMBER = re.compile(r"(?<![\w.'])-?\d+(?:\.\d+)?(?![\w'])")
_WHOLE = {"int2": 2**15, "int4": 2**31, "int8": 2**63, "oid": 2**32, "money": 10**15}
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Hints:
    """What the rules about a column mention: string literals, numbers and regular expressions."""

    strings: tuple[str, ...] = ()
    numbers: tuple[Decimal, ...] = ()
    patterns: tuple[str, ...] = ()


def hints_in(expressions: Iterable[str]) -> Hints:
    """Collect the literals of SQL expressions, in their order."""
    strings: dict[str, None] = {}
    numbers: dict[Decimal, None] = {}
    patterns: dict[str, None] = {}
    for text in expressions:
        patterns.update(dict.fromkeys(each.replace("''", "'") for each in _MATCHED.findall(text)))
        found = [each.replace("''", "'") for each in _STRING.findall(text)]
        strings.update(dict.fromkeys(found))
        # PostgreSQL writes -1 as '-1'::integer.
        plain = _NUMBER.findall(_STRING.sub(" ", text))
        for each in [*plain, *(each for each in found if _NUMBER.fullmatch(each))]:
            numbers[Decimal(each)] = None
    return Hints(tuple(strings), tuple(numbers), tuple(patterns))


@dataclass(frozen=True, slots=True)
class Wanted:
    """For which column, and which row of it; `seed` is the table's own."""

    label: str
    position: int
    number: int
    seed: str
    hints: Hints = Hints()


def candidates(type_: ValueType, wanted: Wanted) -> list[str]:
    """Return different values of the type, the likeliest first; none for a type it does not know.

    The same type and wish always give the same values.
    """
    return list(dict.fromkeys(_values(type_, wanted)))


def _values(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    if type_.labels:
        turn = wanted.number % len(type_.labels)
        return [*type_.labels[turn:], *type_.labels[:turn]]
    if type_.category == "A":
        return _arrays(type_, wanted)
    if type_.kind in "rm":
        return _ranges(type_, wanted)
    if type_.category == "S" or type_.name == "char":
        return _texts(type_, wanted)
    if type_.name in _WHOLE:
        return _whole_numbers(type_, wanted)
    if type_.name == "numeric":
        return _decimals(type_, wanted)
    if type_.name in _MOMENTS:
        return _moments(type_, wanted)
    if type_.name == "bit":
        return [f"{wanted.number:b}".rjust(max(type_.modifier, 1), "0")[-max(type_.modifier, 1) :]]
    if type_.name == "vector":
        return [json.dumps([wanted.number, *[1] * (type_.modifier - 1)])]
    make = _MAKERS.get(type_.name)
    return make(wanted) if make else ()


def _texts(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    number, hints, length = wanted.number, wanted.hints, type_.length
    plain = f"{wanted.label} {number}"
    address = f"user{number}@example.com"
    usual = [
        *(f"name-{number}", f"{number:08}", "EUR", "DE", "en", f"https://example.com/{number}"),
        *(f"+49{number:09}", f"NAME_{number}", f"{number:064x}", ""),
    ]
    sizes = [int(size) for size in hints.numbers if 0 < size <= SIZES_MAX]
    sized = [_in_36(number).rjust(size, "0")[-size:] for size in sizes]
    first = [address, plain] if "email" in wanted.label else [plain, address]
    if length is not None and len(plain) > length:
        first.insert(0, _in_36(number).rjust(length, "0")[-length:])
    # Rules mostly mention states: different rows are in different ones.
    turn = number % len(hints.strings) if hints.strings else 0
    mentioned = [*hints.strings[turn:], *hints.strings[:turn]]
    begun = [f"{each.strip('%^$')}{number}" for each in mentioned]
    matched = [text for each in hints.patterns if (text := matching(each, number)) is not None]
    found = [*first[:1], *matched, *mentioned, *first[1:], *sized, *begun, *usual]
    if type_.name == "char":
        found = [_DIGITS[number % 36], *(each for each in hints.strings if len(each) == 1)]
    return [each for each in found if length is None or len(each) <= length]


def _in_36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _whole_numbers(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    limit = _WHOLE[type_.name]
    least = 0 if type_.name == "oid" else -limit
    mentioned = [int(each) + step for each in wanted.hints.numbers for step in (0, 1, -1)]
    mentioned += [int(each) + wanted.number for each in wanted.hints.numbers]
    found = [wanted.number % limit, *mentioned, 1, 0, 2, -1, 10, 100, 1_000]
    return [str(each) for each in found if least <= each < limit]


def _decimals(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    precision, scale = 12, 2
    if type_.modifier >= 4:
        precision, scale = (type_.modifier - 4) >> 16, (type_.modifier - 4) & 0x7FF
        # Eleven bits with a sign.
        scale = scale - 0x800 if scale >= 0x400 else scale
    smallest = Decimal(1).scaleb(-scale)
    limit = Decimal(10) ** (precision - scale)
    mentioned = [each + step for each in wanted.hints.numbers for step in (0, smallest, -smallest)]
    first = Decimal(wanted.number % 10**precision) * smallest
    found = [first, *mentioned, Decimal(1), Decimal(0), -smallest, Decimal(10), Decimal("0.5")]
    return [f"{each:f}" for each in found if abs(each) < limit and _fits(each, smallest)]


def _fits(value: Decimal, smallest: Decimal) -> bool:
    try:
        return value % smallest == 0
    except InvalidOperation:
        return False


# As PostgreSQL reads them in whatever DateStyle.
_MOMENTS: dict[str, str] = {
    "timestamptz": "%Y-%m-%d %H:%M:%S+00",
    "timestamp": "%Y-%m-%d %H:%M:%S",
    "date": "%Y-%m-%d",
    "time": "%H:%M:%S",
    "timetz": "%H:%M:%S+00",
}
_DATED = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:\d\d)?)?)?")


def _moments(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    step = timedelta(days=1) if type_.name == "date" else timedelta(minutes=1)
    apart = wanted.number % MOMENTS_MAX * step
    # A later column is a later moment: what starts and ends is mostly declared in that order.
    own = START + apart + timedelta(hours=wanted.position)
    found = [own, *(own + timedelta(days=days, hours=days) for days in (1, -1, 400, -400))]
    for text in filter(_DATED.fullmatch, wanted.hints.strings):
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        # A rule may mention the last day there is.
        with suppress(OverflowError):
            found[1:1] = [moment, moment - apart, moment + apart]
    return [each.astimezone(UTC).strftime(_MOMENTS[type_.name]) for each in found]


def _arrays(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    if type_.part is None:
        return ()
    inner = candidates(type_.part, wanted)
    if not inner:
        return ["{}"]
    quoted = ['"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"' for each in inner]
    return [f"{{{quoted[0]}}}", "{}", f"{{{','.join(quoted[:2])}}}", *(f"{{{q}}}" for q in quoted)]


def _ranges(type_: ValueType, wanted: Wanted) -> Iterable[str]:
    if type_.part is None:
        return ()
    if type_.kind == "m":
        return [f"{{{each}}}" for each in candidates(type_.part, wanted)]
    # Ranges of different numbers do not overlap: rules often say so.
    lower, upper = (
        candidates(type_.part, Wanted(wanted.label, wanted.position, each, wanted.seed))[:1]
        for each in (2 * wanted.number, 2 * wanted.number + 1)
    )
    return [f'["{low}","{high}")' for low, high in zip(lower, upper, strict=True)]


def _chance(wanted: Wanted) -> random.Random:
    return random.Random(f"{wanted.seed} {wanted.label} {wanted.number}")


def _uuids(wanted: Wanted) -> Iterable[str]:
    """A UUIDv7: rising with the number, and its own for each column."""
    chance = _chance(wanted).getrandbits(74)
    milliseconds = int(START.timestamp() * 1000) + wanted.number
    low = chance & ((1 << 62) - 1)
    own = UUID(int=milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | low)
    return [str(own), *(each for each in wanted.hints.strings if len(each) == len(str(own)))]


def _documents(wanted: Wanted) -> Iterable[str]:
    own = {"number": wanted.number}
    usual = [own, [own], [], {}, wanted.label, wanted.number, True]
    found = [json.dumps(each) for each in usual]
    # A rule that asks for a key is met by an object that has every word the rule knows.
    words = dict.fromkeys(each for each in wanted.hints.strings if each.isidentifier())
    found += [json.dumps({**dict.fromkeys(words, value)}) for value in (wanted.label, 1) if words]
    return found


def _bytes(wanted: Wanted) -> Iterable[str]:
    sizes = [8, *(int(size) for size in wanted.hints.numbers if 0 < size <= SIZES_MAX)]
    return ["\\x" + wanted.number.to_bytes(max(size, 8)).hex()[-2 * size :] for size in sizes]


def _intervals(wanted: Wanted) -> Iterable[str]:
    literals = [each for each in wanted.hints.strings if re.match(r"[\d-]", each)]
    return [f"{wanted.number} minutes", *literals, "1 day", "1 second", "0", "-1 day", "1 year"]


def _octets(number: int, count: int) -> list[int]:
    return [(number >> 8 * place) & 0xFF for place in reversed(range(count))]


def _dotted(number: int, end: str = "") -> str:
    return ".".join(map(str, [10, *_octets(number, 3)])) + end


def _hardware(number: int, count: int) -> str:
    return ":".join(f"{each:02x}" for each in [8, 0, 43, *_octets(number, count)])


Maker = Callable[[Wanted], Iterable[str]]
_MAKERS: dict[str, Maker] = {
    "uuid": _uuids,
    "bool": lambda w: ["true", "false"] if w.number % 2 else ["false", "true"],
    "float4": lambda w: [f"{w.number}.5", *map(str, w.hints.numbers), "0.5", "0", "1", "-1"],
    "float8": lambda w: [f"{w.number}.5", *map(str, w.hints.numbers), "0.5", "0", "1", "-1"],
    "interval": _intervals,
    "json": _documents,
    "jsonb": _documents,
    "jsonpath": lambda w: [f"$.a{w.number}"],
    "xml": lambda w: [f"<n>{w.number}</n>"],
    "bytea": _bytes,
    "inet": lambda w: [_dotted(w.number), f"2001:db8::{w.number % 0xFFFF:x}"],
    "cidr": lambda w: [_dotted(w.number, "/32"), f"2001:db8::{w.number % 0xFFFF:x}/128"],
    "macaddr": lambda w: [_hardware(w.number, 3)],
    "macaddr8": lambda w: [_hardware(w.number, 5)],
    "varbit": lambda w: ["1", "0"],
    "xid": lambda w: [str(w.number % 2**31 + 3)],
    "xid8": lambda w: [str(w.number + 3)],
    "pg_lsn": lambda w: [f"0/{w.number:X}"],
    "tsvector": lambda w: [f"word{w.number}"],
    "tsquery": lambda w: [f"word{w.number}"],
    "point": lambda w: [f"({w.number},1)"],
    "line": lambda w: [f"{{1,1,{w.number}}}"],
    "lseg": lambda w: [f"[({w.number},1),({w.number},2)]"],
    "box": lambda w: [f"({w.number},1),(0,0)"],
    "path": lambda w: [f"[({w.number},1),(0,0)]"],
    "polygon": lambda w: [f"(({w.number},1),(0,0),(1,0))"],
    "circle": lambda w: [f"<({w.number},1),1>"],
    "hstore": lambda w: [f"number => {w.number}"],
    "regclass": lambda w: ["pg_catalog.pg_class"],
    "regtype": lambda w: ["pg_catalog.int4"],
}
