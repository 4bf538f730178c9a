"""Sequences, and those behind identity columns."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.catalog.objects.grants import Grant

BITS = {"smallint": 15, "integer": 31, "bigint": 63}


@dataclass(frozen=True, slots=True)
class SequenceOptions:
    """How a sequence counts; where it stands is data."""

    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool

    @property
    def text(self) -> str:
        """The options that are not the usual ones of this type, as CREATE SEQUENCE takes them."""
        is_rising = self.increment > 0
        limit = 2 ** BITS[self.type]
        minimum, maximum = (1, limit - 1) if is_rising else (-limit, -1)
        words = [f"INCREMENT BY {self.increment}"] if self.increment != 1 else []
        words += [f"MINVALUE {self.minimum}"] if self.minimum != minimum else []
        words += [f"MAXVALUE {self.maximum}"] if self.maximum != maximum else []
        usual_start = self.minimum if is_rising else self.maximum
        words += [f"START WITH {self.start}"] if self.start != usual_start else []
        words += [f"CACHE {self.cache}"] if self.cache != 1 else []
        words += ["CYCLE"] if self.cycle else []
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence; that of an identity column is the column's (`Column.counter`).

    `owned_by` is the column it goes away with: `shop.items.id`.
    """

    name: str
    owned_by: str | None
    unlogged: bool
    comment: str | None
    owner: str
    options: SequenceOptions
    grants: tuple[Grant, ...] = ()

    @property
    def definition(self) -> str:
        """All but its name and grants, as CREATE SEQUENCE takes it."""
        words = ["UNLOGGED"] if self.unlogged else []
        words += [f"AS {self.options.type}", self.options.text]
        words += [f"OWNED BY {self.owned_by}"] if self.owned_by else []
        return " ".join(filter(None, words))
