"""Who made and last changed a row, as the plan names them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, MappedAsDataclass, declared_attr, mapped_column, relationship

from bedplate.kernel.types import user_key
from bedplate.modules.auth import User


class Attributed(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """`created_by` and `updated_by`: the administrators' keys, and two relations to them."""

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

    @declared_attr
    @classmethod
    def created_by_user(cls) -> Mapped[User]:
        """The administrator who created it."""
        return relationship(init=False, lazy="raise", foreign_keys=f"{cls.__name__}.created_by")

    @declared_attr
    @classmethod
    def updated_by_user(cls) -> Mapped[User | None]:
        """The administrator who changed it last."""
        return relationship(init=False, lazy="raise", foreign_keys=f"{cls.__name__}.updated_by")
