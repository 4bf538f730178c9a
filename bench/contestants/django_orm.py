"""Django's ORM with its psycopg pool, driven by threads.

The asynchronous methods (`aget`, `acreate`) run each query in one shared thread, so
sixteen threads that call the plain ones are the faster way, and the one measured.
A thread keeps its connection, which spares Django the hand-over at each request.
"""

# Django ships no types.
# mypy: ignore-errors
# pyright: basic, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.db import connections as databases
from django.db import models
from psycopg.conninfo import conninfo_to_dict

from bench.contestant import LAST_ENTRIES, NO_VARIANTS, PAGE_ROWS, Family, Mark
from bench.keys import time_ordered_key

# Models can be declared only once Django is configured; the address comes with `open`.
settings.configure(
    USE_TZ=True,
    INSTALLED_APPS=["bench"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "unset"}},
)
django.setup()

BATCH_ROWS = 5_000


class KindField(models.CharField):
    """Text on our side, the enum type in PostgreSQL (bulk INSERTs name the type)."""

    def db_type(self, connection: Any) -> str:
        """Return the type's name."""
        return "bench.account_kind"


class Account(models.Model):
    """An account."""

    id = models.UUIDField(primary_key=True, default=time_ordered_key)
    email = models.TextField(unique=True)
    name = models.TextField(null=True)
    is_active = models.BooleanField()
    kind = KindField(max_length=10)
    balance = models.DecimalField(max_digits=12, decimal_places=2)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "account"


class Profile(models.Model):
    """The one profile of an account."""

    id = models.UUIDField(primary_key=True, default=time_ordered_key)
    account = models.OneToOneField(Account, on_delete=models.CASCADE)
    bio = models.TextField()
    locale = models.TextField()
    settings = models.JSONField()

    class Meta:
        app_label = "bench"
        db_table = "profile"


class Entry(models.Model):
    """An entry of an account."""

    id = models.UUIDField(primary_key=True, default=time_ordered_key)
    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    note = models.TextField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "entry"


class Event(models.Model):
    """An event."""

    id = models.UUIDField(primary_key=True, default=time_ordered_key)
    tenant = models.UUIDField()
    occurred_at = models.DateTimeField()
    payload = models.TextField()

    class Meta:
        app_label = "bench"
        db_table = "event"


class Reading(models.Model):
    """A row of the bulk load."""

    id = models.UUIDField(primary_key=True, default=time_ordered_key)
    account_id = models.UUIDField()
    recorded_at = models.DateTimeField()
    kind = KindField(max_length=10)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    note = models.TextField(null=True)

    class Meta:
        app_label = "bench"
        db_table = "reading"


class DjangoOrm:
    """Plain calls, one thread per client."""

    blocking = True
    variants = NO_VARIANTS

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Point the default database at the address."""
        parts = conninfo_to_dict(url)
        databases.settings["default"].update(
            NAME=parts["dbname"],
            USER=parts.get("user", ""),
            PASSWORD=parts.get("password", ""),
            HOST=parts.get("host", ""),
            PORT=str(parts.get("port", "")),
            OPTIONS={
                "options": "-c search_path=bench",
                "pool": {"min_size": connections, "max_size": connections, "timeout": 30},
            },
        )
        return {"django": django.__version__}

    async def close(self) -> None:
        """Close the pool."""
        databases["default"].close_pool()

    def get(self, key: UUID) -> Account:
        """Read one account."""
        return Account.objects.get(pk=key)

    def relations(self, key: UUID) -> Family:
        """Read an account joined to its profile, then its last entries."""
        account = Account.objects.select_related("profile").get(pk=key)
        entries = account.entry_set.order_by("-created_at", "-id")[:LAST_ENTRIES]
        return Family(account, account.profile, list(entries))

    def unfold(self, found: Family) -> Family:
        """Return the family as it is."""
        return found

    def page_first(self) -> list[Event]:
        """Read the newest events."""
        return list(Event.objects.order_by("-occurred_at", "-id")[:PAGE_ROWS])

    def page_deep(self, mark: Mark) -> list[Event]:
        """Read the events at depth by OFFSET."""
        newest = Event.objects.order_by("-occurred_at", "-id")
        return list(newest[mark.offset : mark.offset + PAGE_ROWS])

    def create(self, fields: dict[str, Any]) -> Account:
        """Create one account."""
        return Account.objects.create(**fields)

    def stage(self, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave the readings as they are: making the objects is part of the work."""
        return readings

    def bulk(self, staged: list[dict[str, Any]]) -> None:
        """Insert by `bulk_create`."""
        rows = [Reading(**reading) for reading in staged]
        Reading.objects.bulk_create(rows, batch_size=BATCH_ROWS)


def contestant() -> DjangoOrm:
    """Return the contestant of this file."""
    return DjangoOrm()
