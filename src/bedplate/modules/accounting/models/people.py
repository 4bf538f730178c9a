"""Who made and last changed a row, as the plan names them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from bedplate.kernel.types import user_key


class Attributed(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """`created_by` and `updated_by`: the administrators' keys."""

    created_by: Mapped[UUID] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="RESTRICT"),
        sort_order=800,
        comment="Who created it.",
    )
    updated_by: Mapped[UUID | None] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="RESTRICT"),
        sort_order=801,
        default=None,
        comment="Who changed it last.",
    )
