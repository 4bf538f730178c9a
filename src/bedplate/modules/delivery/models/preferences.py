"""What addressees want: which mail, and when. One row is about a user, or about an address."""

from __future__ import annotations

from datetime import time
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel.columns import Identified, Timestamped
from bedplate.kernel.model import Model
from bedplate.kernel.types import user_key
from bedplate.modules.delivery.models.mails import SCHEMA

_ONE = "num_nonnulls(user_id, address) = 1"
_LOWER = "address = lower(address) AND length(address) BETWEEN 3 AND 254"


class MailPreference(Identified, Timestamped, Model):
    """Whether a user, or an address, wants mail of a category; no row: the category's default."""

    __tablename__ = "mail_preferences"

    user_id: Mapped[UUID | None] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="CASCADE"),
        comment="Whose preference, where it is a user's.",
    )
    address: Mapped[str | None] = mapped_column(
        Text, comment="The address, in lower case, where it is one's."
    )
    category: Mapped[str] = mapped_column(Text, comment="What kind of mail.")
    is_wanted: Mapped[bool] = mapped_column(comment="Whether it is to be sent.")

    __table_args__: Any = (
        CheckConstraint(_ONE, name="one"),
        CheckConstraint(_LOWER, name="address"),
        Index(
            "uq_mail_preferences_user_id_category",
            "user_id",
            "category",
            unique=True,
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        Index(
            "uq_mail_preferences_address_category",
            "address",
            "category",
            unique=True,
            postgresql_where=text("address IS NOT NULL"),
        ),
        {"schema": SCHEMA, "comment": "Which mail is wanted."},
    )


class MailQuietHours(Identified, Timestamped, Model):
    """When a user, or an address, wants no mail that can wait: from `starts_at` to `ends_at`.

    Local times of a zone; where the end is not later than the start, it is on the next day.
    """

    __tablename__ = "mail_quiet_hours"

    user_id: Mapped[UUID | None] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="CASCADE"),
        comment="Whose hours, where they are a user's.",
    )
    address: Mapped[str | None] = mapped_column(
        Text, comment="The address, in lower case, where they are one's."
    )
    starts_at: Mapped[time] = mapped_column(comment="Local time from which nothing is sent.")
    ends_at: Mapped[time] = mapped_column(comment="Local time from which mail goes again.")
    time_zone: Mapped[str] = mapped_column(Text, comment="The zone, such as Europe/Berlin.")

    __table_args__: Any = (
        CheckConstraint(_ONE, name="one"),
        CheckConstraint(_LOWER, name="address"),
        CheckConstraint("starts_at <> ends_at", name="hours"),
        Index(
            "uq_mail_quiet_hours_user_id",
            "user_id",
            unique=True,
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        Index(
            "uq_mail_quiet_hours_address",
            "address",
            unique=True,
            postgresql_where=text("address IS NOT NULL"),
        ),
        {"schema": SCHEMA, "comment": "When mail has to wait."},
    )
