"""One account as a naive model: lists and loops, to compare the real one with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(eq=False)
class Lot:
    """A grant: burned by priority, then expiry, then age."""

    order: tuple[int, datetime, int]
    remaining: int
    held: int = 0

    @property
    def expires(self) -> datetime:
        return self.order[1]


Parts = list[tuple[Lot, int]]


@dataclass
class Hold:
    expires: datetime
    parts: Parts
    is_open: bool = True


@dataclass
class Usage:
    """What of a charge is left to refund, by grant."""

    parts: dict[Lot, int]


@dataclass
class Account:
    """Each verb takes the moment at which it happens; what is over by then goes first."""

    lots: list[Lot] = field(default_factory=list[Lot])
    holds: list[Hold] = field(default_factory=list[Hold])
    usages: list[Usage] = field(default_factory=list[Usage])
    ledger: list[tuple[datetime, int]] = field(default_factory=list[tuple[datetime, int]])

    @property
    def credits(self) -> int:
        return sum(lot.remaining for lot in self.lots)

    @property
    def held(self) -> int:
        return sum(lot.held for lot in self.lots)

    def credits_at(self, moment: datetime) -> int:
        return sum(amount for at, amount in self.ledger if at <= moment)

    def settle(self, now: datetime) -> None:
        for hold in sorted(self.holds, key=lambda hold: hold.expires):
            if hold.is_open and hold.expires <= now:
                self._end(hold, hold.expires)
        for lot in self.lots:
            if lot.expires <= now:
                self._expire(lot, lot.remaining - lot.held, lot.expires)

    def grant(self, now: datetime, amount: int, priority: int, expires: datetime) -> None:
        self.settle(now)
        self.lots.append(Lot((priority, expires, len(self.lots)), amount))
        self.lots.sort(key=lambda lot: lot.order)
        self.ledger.append((now, amount))

    def deduct(self, now: datetime, amount: int) -> bool:
        self.settle(now)
        if self.credits - self.held < amount:
            return False
        parts = self._free(amount)
        for lot, part in parts:
            lot.remaining -= part
        self.usages.append(Usage(dict(parts)))
        self.ledger.append((now, -amount))
        return True

    def refund(self, now: datetime, usage: Usage, amount: int) -> bool:
        self.settle(now)
        if not 1 <= amount <= sum(usage.parts.values()):
            return False
        self.ledger.append((now, amount))
        for lot in sorted(usage.parts, key=lambda lot: lot.order, reverse=True):
            part = min(amount, usage.parts[lot])
            amount -= part
            usage.parts[lot] -= part
            lot.remaining += part
            if lot.expires <= now:
                self._expire(lot, part, now)
        return True

    def reserve(self, now: datetime, amount: int, expires: datetime) -> bool:
        self.settle(now)
        if self.credits - self.held < amount:
            return False
        parts = self._free(amount)
        for lot, part in parts:
            lot.held += part
        self.holds.append(Hold(expires, parts))
        return True

    def capture(self, now: datetime, hold: Hold, amount: int) -> bool:
        self.settle(now)
        if not hold.is_open or amount > sum(part for _, part in hold.parts):
            return False
        hold.is_open = False
        taken: dict[Lot, int] = {}
        self.ledger.append((now, -amount))
        for lot, part in hold.parts:
            lot.held -= part
            taken[lot] = min(part, amount)
            amount -= taken[lot]
            lot.remaining -= taken[lot]
            if lot.expires <= now:
                self._expire(lot, part - taken[lot], now)
        self.usages.append(Usage(taken))
        return True

    def release(self, now: datetime, hold: Hold) -> None:
        self.settle(now)
        if hold.is_open:
            self._end(hold, now)

    def _free(self, amount: int) -> Parts:
        parts: Parts = []
        for lot in self.lots:
            part = min(amount, lot.remaining - lot.held)
            if part:
                parts.append((lot, part))
                amount -= part
        return parts

    def _end(self, hold: Hold, at: datetime) -> None:
        hold.is_open = False
        for lot, part in hold.parts:
            lot.held -= part
            if lot.expires <= at:
                self._expire(lot, part, at)

    def _expire(self, lot: Lot, amount: int, at: datetime) -> None:
        lot.remaining -= amount
        if amount:
            self.ledger.append((at, -amount))
