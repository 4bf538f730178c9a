"""Django's ORM charging credits by hand in `transaction.atomic`, driven by threads."""

# Django ships no types.
# mypy: ignore-errors
# pyright: basic, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from django.db import models, transaction
from django.db.models import F, Q

from bench.contestants.django_orm import DjangoOrm
from bench.credits_contestant import OPERATION, Charged, Offer
from bench.keys import time_ordered_key


class OperationField(models.CharField):
    """Text on our side, the enum type in PostgreSQL."""

    def db_type(self, connection: object) -> str:
        """Return the type's name."""
        return "credits.operation_type"


class CreditBalance(models.Model):
    """An account."""

    id = models.UUIDField(primary_key=True)
    user_id = models.UUIDField(unique=True)
    credits_remaining = models.IntegerField()
    credits_held = models.IntegerField()
    last_synced_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "credit_balances"


class CreditGrant(models.Model):
    """Credits that came into an account."""

    id = models.UUIDField(primary_key=True)
    credit_balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT)
    remaining = models.IntegerField()
    held = models.IntegerField()
    priority = models.IntegerField()
    expires_at = models.DateTimeField(null=True)
    is_open = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "credit_grants"


class UsageHistory(models.Model):
    """One charge."""

    id = models.UUIDField(primary_key=True, default=time_ordered_key)
    user_id = models.UUIDField()
    credit_balance = models.ForeignKey(CreditBalance, on_delete=models.PROTECT)
    operation_type = OperationField(max_length=30)
    credits_used = models.IntegerField()
    action = models.TextField()
    key = models.TextField()
    balance_after = models.IntegerField()
    available_after = models.IntegerField()
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, null=True)
    timestamp = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "usage_history"


class UsageAllocation(models.Model):
    """Which grant paid, where no single one did."""

    pk = models.CompositePrimaryKey("usage_id", "grant_id")
    usage = models.ForeignKey(UsageHistory, on_delete=models.PROTECT)
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT)
    amount = models.IntegerField()

    class Meta:
        app_label = "bench"
        db_table = "usage_allocations"


class CreditsDjango:
    """Plain calls, one thread per client, a connection kept per thread."""

    blocking = True

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Point the default database at the address."""
        self._orm = DjangoOrm()
        return await self._orm.open(url, connections)

    async def close(self) -> None:
        """Close the pool."""
        await self._orm.close()

    @transaction.atomic
    def deduct(self, user: UUID, key: str, amount: int = 1) -> Charged:
        """Charge one account in one transaction."""
        balance = CreditBalance.objects.select_for_update().get(user_id=user)
        known = UsageHistory.objects.filter(
            credit_balance=balance, action="deduct", key=key
        ).first()
        if known is not None:
            return known.credits_used, known.balance_after
        available = balance.credits_remaining - balance.credits_held - amount
        if available < 0:
            return None
        now = datetime.now(UTC)
        paid = _burn(balance, amount, now)
        balance.credits_remaining -= amount
        balance.last_synced_at = now
        balance.save(update_fields=["credits_remaining", "last_synced_at"])
        usage = UsageHistory.objects.create(
            user_id=user,
            credit_balance=balance,
            operation_type=OPERATION,
            credits_used=amount,
            action="deduct",
            key=key,
            balance_after=balance.credits_remaining,
            available_after=available,
            grant=paid[0][0] if len(paid) == 1 else None,
            timestamp=now,
        )
        if len(paid) > 1:
            UsageAllocation.objects.bulk_create(
                UsageAllocation(usage=usage, grant=grant, amount=taken) for grant, taken in paid
            )
        return amount, balance.credits_remaining

    def further(self) -> Mapping[str, Offer]:
        """Offer nothing else."""
        return {}


def _burn(balance: CreditBalance, amount: int, now: datetime) -> list[tuple[CreditGrant, int]]:
    grants = CreditGrant.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        credit_balance=balance,
        is_open=True,
        remaining__gt=F("held"),
    ).order_by("priority", F("expires_at").asc(nulls_last=True), "created_at", "id")
    paid = list[tuple[CreditGrant, int]]()
    for grant in grants:
        taken = min(amount, grant.remaining - grant.held)
        grant.remaining -= taken
        grant.save(update_fields=["remaining"])
        paid.append((grant, taken))
        amount -= taken
        if amount == 0:
            return paid
    raise AssertionError("the grants do not cover the balance")


def contestant() -> CreditsDjango:
    """Return the contestant of this file."""
    return CreditsDjango()
