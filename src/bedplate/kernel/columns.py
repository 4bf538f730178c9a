"""Mixins that declare columns and nothing else; the kernel reads the declaration and acts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from bedplate.kernel import clock, ids
from bedplate.kernel.types import moment


class Identified(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """A UUIDv7 primary key made by the client, or accepted from the caller."""

    id: Mapped[UUID] = mapped_column(
        Uuid, primary_key=True, sort_order=-100, default_factory=ids.new, comment="Key (UUIDv7)."
    )


class Timestamped(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """`created_at` and `updated_at`, both kept by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(
        moment(),
        init=False,
        sort_order=900,
        server_default=clock.sql_now(),
        comment="When the row was made.",
    )
    updated_at: Mapped[datetime] = mapped_column(
        moment(),
        init=False,
        sort_order=901,
        server_default=clock.sql_now(),
        comment="When the row was last changed.",
    )


class SoftDeleted(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """`deleted_at`: reads leave out rows that have it, unless they ask for them.

    Unique rules of such a table are partial (WHERE deleted_at IS NULL), so that a deleted row
    frees its values.
    """

    deleted_at: Mapped[datetime | None] = mapped_column(
        moment(),
        init=False,
        sort_order=902,
        default=None,
        comment="When the row was deleted; NULL while it lives.",
    )


class Versioned(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """`version`: counts changes, so that an update can refuse a row that moved on."""

    version: Mapped[int] = mapped_column(
        init=False, sort_order=903, server_default="1", comment="Counts the row's changes, from 1."
    )
