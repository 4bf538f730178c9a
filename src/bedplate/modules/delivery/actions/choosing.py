"""What addressees want: which mail, and when."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Text, Time, Uuid, bindparam, text

from bedplate.kernel import ids
from bedplate.kernel.context import UserId
from bedplate.kernel.database import Writer
from bedplate.kernel.errors import ForeignKeyViolation
from bedplate.kernel.query import Query
from bedplate.kernel.types import user_key
from bedplate.modules.delivery.errors import AddressInvalid, CategoryMandatory, UnknownAddressee
from bedplate.modules.delivery.rules import Category, QuietHours, require_address

_WHO = (bindparam("id", type_=Uuid), bindparam("user_id", type_=user_key()))


def _choose(whose: str) -> Query[Any]:
    return Query(
        text(
            "INSERT INTO delivery.mail_preferences AS known "
            "(id, user_id, address, category, is_wanted) "
            "VALUES (:id, :user_id, :address, :category, :is_wanted) "
            f"ON CONFLICT ({whose}, category) WHERE {whose} IS NOT NULL DO UPDATE "
            "SET is_wanted = excluded.is_wanted, updated_at = bedplate.now() "
            "WHERE known.is_wanted <> excluded.is_wanted"
        ).bindparams(
            *_WHO,
            bindparam("address", type_=Text),
            bindparam("category", type_=Text),
            bindparam("is_wanted", type_=Boolean),
        )
    )


def _keep_quiet(whose: str) -> Query[Any]:
    return Query(
        text(
            "INSERT INTO delivery.mail_quiet_hours "
            "(id, user_id, address, starts_at, ends_at, time_zone) "
            "VALUES (:id, :user_id, :address, :starts_at, :ends_at, :time_zone) "
            f"ON CONFLICT ({whose}) WHERE {whose} IS NOT NULL DO UPDATE "
            "SET starts_at = excluded.starts_at, ends_at = excluded.ends_at, "
            "time_zone = excluded.time_zone, updated_at = bedplate.now()"
        ).bindparams(
            *_WHO,
            bindparam("address", type_=Text),
            bindparam("starts_at", type_=Time),
            bindparam("ends_at", type_=Time),
            bindparam("time_zone", type_=Text),
        )
    )


_CHOOSE = {whose: _choose(whose) for whose in ("user_id", "address")}
_KEEP_QUIET = {whose: _keep_quiet(whose) for whose in ("user_id", "address")}
_END_QUIET: Query[Any] = Query(
    text(
        "DELETE FROM delivery.mail_quiet_hours WHERE user_id = :user_id OR address = :address"
    ).bindparams(bindparam("user_id", type_=user_key()), bindparam("address", type_=Text))
)


async def set_preference(
    db: Writer,
    category: Category,
    is_wanted: bool,
    *,
    user_id: UserId | None = None,
    address: str | None = None,
) -> None:
    """Note whether a user, or an address, wants mail of a category; it counts from now on.

    Mail that was asked for before and has not gone yet heeds it too. Give `user_id` or `address`.
    Raises CategoryMandatory, AddressInvalid or UnknownAddressee.
    """
    if category.is_mandatory and not is_wanted:
        raise CategoryMandatory(f"Mail of {category.name} cannot be declined.")
    await choose(db, category.name, is_wanted, user_id=user_id, address=address)


async def choose(
    db: Writer, category: str, is_wanted: bool, *, user_id: UserId | None, address: str | None
) -> None:
    """Note the same by the category's name."""
    whose, lower = _whose(user_id, address)
    await _stored(
        db,
        _CHOOSE[whose],
        user_id=user_id,
        address=lower,
        category=category,
        is_wanted=is_wanted,
    )


async def set_quiet_hours(
    db: Writer,
    hours: QuietHours | None,
    *,
    user_id: UserId | None = None,
    address: str | None = None,
) -> None:
    """Note when a user, or an address, wants no mail that can wait; None ends them.

    Give `user_id` or `address`. Raises AddressInvalid or UnknownAddressee.
    """
    whose, lower = _whose(user_id, address)
    if hours is None:
        await db.run(_END_QUIET, user_id=user_id, address=lower)
        return
    await _stored(
        db,
        _KEEP_QUIET[whose],
        user_id=user_id,
        address=lower,
        starts_at=hours.starts,
        ends_at=hours.ends,
        time_zone=hours.zone,
    )


def _whose(user_id: UserId | None, address: str | None) -> tuple[str, str | None]:
    if (user_id is None) == (address is None):
        raise AddressInvalid("It is about a user or about an address.", "Pass one of the two.")
    if address is None:
        return "user_id", None
    return "address", require_address(address, "address").lower()


async def _stored(db: Writer, query: Query[Any], **values: Any) -> None:
    try:
        await db.run(query, id=ids.new(), **values)
    except ForeignKeyViolation:
        raise UnknownAddressee("There is no such user.") from None
