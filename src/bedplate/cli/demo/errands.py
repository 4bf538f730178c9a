"""What the demo's clients are told to do, and what they write down."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from bedplate.kernel.settings import Settings
from bedplate.modules.credits import OperationType

MODULES = ("auth", "credits")
BILLING_MODULES = ("auth", "mining", "accounting")
AMOUNT_MAX = 5
ROWS_MAX = 1_000_000
END = b"end\n"
"""The last line of a client that has done everything."""

T = TypeVar("T")

_OPERATIONS = (
    OperationType.AI_TEXT_CHAT,
    OperationType.AI_IMAGE_GENERATION,
    OperationType.PLAN_GENERATION,
)


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One charge or one hold, and what follows it under the same key.

    `then` is how many credits of the charge are refunded (0: none), or how many of the hold are
    captured (0: it is released).
    """

    key: str
    user_id: UUID
    operation: OperationType
    amount: int
    is_hold: bool = False
    then: int = 0


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What one client process does: its errands, by `clients` clients at a time."""

    url: str
    clients: int
    errands: tuple[Errand, ...]
    is_naive: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """One acknowledged answer. `id` is the row's that it speaks of, None for a refusal."""

    key: str
    verb: str
    outcome: str
    id: UUID | None
    credits: int
    replayed: bool = False

    @property
    def fact(self) -> tuple[str, UUID | None, int]:
        """What every replay must say again."""
        return self.outcome, self.id, self.credits


def planned(chance: random.Random, users: Sequence[UUID], count: int) -> tuple[Errand, ...]:
    """Return a mixed load on these users: six charges in ten, two with a refund, two holds."""
    return tuple(_errand(chance, chance.choice(users), number) for number in range(count))


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one biller does, over and over until the day `until`: `most` templates at a time."""

    url: str
    most: int
    until: date


class Deeds(msgspec.Struct, frozen=True, array_like=True):
    """What a biller did in one round, as far as it was answered."""

    billed: int
    overdue: int
    paid: int
    refused: int


def settings_for(
    folder: Path, url: str, connections: int, modules: tuple[str, ...] = MODULES
) -> Settings:
    """Return the demo's own settings, which nothing around it has a say in."""
    return Settings(
        folder=folder,
        database_url=url,
        modules=modules,
        pool_size_max=connections,
        rows_max=ROWS_MAX,
        transaction_pooler=False,
    )


def read_answers(book: Path) -> list[Answer]:
    """Read what a client has written so far; the last line of a killed one may be cut."""
    return _read(book, Answer)


def read_deeds(book: Path) -> list[Deeds]:
    """Read what a biller has written so far."""
    return _read(book, Deeds)


def _read(book: Path, kind: type[T]) -> list[T]:
    if not book.exists():
        return []
    whole, _, _ = book.read_bytes().rpartition(b"\n")
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(line) for line in whole.splitlines() if line + b"\n" != END]


def _errand(chance: random.Random, user_id: UUID, number: int) -> Errand:
    amount = chance.randint(1, AMOUNT_MAX)
    kind = chance.randrange(10)
    return Errand(
        key=f"demo {number}",
        user_id=user_id,
        operation=chance.choice(_OPERATIONS),
        amount=amount,
        is_hold=kind >= 8,
        then=chance.randint(1, amount) if kind in (6, 7, 9) else 0,
    )
