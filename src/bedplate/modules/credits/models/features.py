"""What administrators and the app write themselves: settings and features."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Index,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel.columns import Identified, Timestamped
from bedplate.kernel.model import Model
from bedplate.kernel.types import document
from bedplate.modules.credits.models.operations import SCHEMA


class AdminSettings(Timestamped, Model):
    """The one row of settings (plan D): `feature_costs` overrides the costs in the code."""

    __tablename__ = "admin_settings"

    id: Mapped[str] = mapped_column(
        String,
        primary_key=True,
        default="singleton",
        server_default="singleton",
        comment="Always 'singleton'.",
    )
    feature_costs: Mapped[dict[str, Any] | None] = mapped_column(
        document(), default=None, comment="Credits per operation, by OperationType."
    )

    __table_args__: Any = (
        CheckConstraint("id = 'singleton'", name="singleton"),
        {"schema": SCHEMA, "comment": "Settings that administrators change while it runs."},
    )


class Feature(Identified, Timestamped, Model):
    """A feature of the product, as the app describes it (plan D)."""

    __tablename__ = "features"

    name: Mapped[str] = mapped_column(comment="What the feature is called.")
    workspace_id: Mapped[str] = mapped_column(
        default="default", server_default="default", comment="The workspace it belongs to."
    )
    description: Mapped[str | None] = mapped_column(default=None, comment="What it does.")
    tags: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default_factory=list, server_default=text("'{}'"), comment="Labels."
    )

    __table_args__: Any = (
        Index("ix_features_workspace_id", "workspace_id"),
        {"schema": SCHEMA, "comment": "Features of the product."},
    )
