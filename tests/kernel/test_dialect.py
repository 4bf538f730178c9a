"""An adopted table in place of ours: compiled only, for what runs see the tests of adoption."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from bedplate.kernel.bindings import Binding
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import FieldNotBound, SettingsError, TableNotWritable, UsageError
from bedplate.kernel.inserts import insert_statement
from bedplate.kernel.model import mapper_of
from bedplate.kernel.plan import Wanted
from bedplate.kernel.query import Query, adhoc
from bedplate.modules.auth import User, UserPreferences
from tests.shop import Customer

COLUMNS = {"email": "mail", "name": "full name"}
HOST = "public.User"


def dialect(*, writable: bool = False, key_type: str = "text") -> BoundDialect:
    binding = Binding(HOST, "_id", key_type, COLUMNS, writable)
    return BoundDialect({"users": binding}, {"auth.users": "users"})


def sql(statement: Any, bound: BoundDialect | None = None, **wanted: Any) -> str:
    plan, _ = adhoc(statement, bound or dialect(), Wanted(**wanted))
    return " ".join(plan.sql.decode().split())


def test_an_unbound_project_knows_nothing_of_it() -> None:
    assert "auth.users" in sql(select(User), BoundDialect())
    assert "auth.users" in sql(select(User), BoundDialect({}, {"auth.users": "users"}))


def test_a_read_sees_the_hosts_columns_under_our_names() -> None:
    text = sql(select(User).where(User.email == "ada@example.com"))
    assert 'FROM (SELECT _id AS id, mail AS email, "full name" AS name FROM public."User")' in text
    assert "users.email = $1" in text
    assert "auth.users" not in text


def test_no_filter_for_the_deleted_is_added_to_a_hosts_table() -> None:
    assert "deleted_at" not in sql(select(User))
    assert "deleted_at IS NULL" in sql(select(User), BoundDialect())


def test_a_field_without_a_column_is_refused_with_the_line_to_write() -> None:
    with pytest.raises(FieldNotBound, match=r"public\.User has no column bound to 'clerk_id'"):
        sql(select(User).where(User.clerk_id == "c"))
    with pytest.raises(FieldNotBound, match=r'columns = \{ clerk_id = "…" \}'):
        sql(select(User.clerk_id))


def test_joins_and_aliases_of_it_compile() -> None:
    joined = sql(select(Customer.name, User.email).join(User, User.id == Customer.user_id))
    assert "AS users ON users.id = shop.customers.user_id" in joined
    other = aliased(User)
    text = sql(select(other.id, other.email).where(other.id == "u_1"))
    assert 'mail AS email, "full name" AS name FROM public."User") AS users_1' in text
    assert "users_1.id = $1" in text


def test_an_include_reads_it_through_the_binding() -> None:
    text = sql(select(UserPreferences), include=(UserPreferences.user,))
    assert 'FROM (SELECT _id AS id, mail AS email, "full name" AS name FROM public."User")' in text
    assert "auth.users" not in text


def test_the_users_key_has_the_hosts_type_everywhere() -> None:
    by_user = Query(select(Customer.id).where(Customer.user_id == bindparam("user_id")))
    bound = {key_type: dialect(key_type=key_type) for key_type in ("text", "bigint", "uuid")}
    casts = {name: by_user.plan(one).sql.rpartition(b"::")[2] for name, one in bound.items()}
    assert casts == {"text": b"VARCHAR", "bigint": b"BIGINT", "uuid": b"UUID"}


@pytest.mark.parametrize(
    "statement",
    [
        update(User).values(name="x"),
        delete(User),
        insert_statement(mapper_of(User), ("id", "email")),
    ],
    ids=["update", "delete", "insert"],
)
def test_a_table_bound_read_only_cannot_be_written(statement: Any) -> None:
    with pytest.raises(TableNotWritable, match="set writable = true"):
        sql(statement)
    assert 'public."User"' in sql(statement, dialect(writable=True))


def test_a_writable_table_is_written_under_the_hosts_names() -> None:
    bound = dialect(writable=True)
    changed = update(User).where(User.id == "u_1").values(name="x").returning(User)
    text = sql(changed, bound)
    assert text.startswith('UPDATE public."User" AS users SET "full name"=$1')
    assert "WHERE users._id = $2" in text
    assert "RETURNING users._id, users.mail" in text
    assert sql(delete(User).where(User.id == "u_1"), bound) == (
        'DELETE FROM public."User" AS users WHERE users._id = $1::VARCHAR'
    )


def test_an_insert_returns_what_the_host_has() -> None:
    made = Query[Any](insert_statement(mapper_of(User), ("id", "email")), returns=User)
    text = " ".join(made.plan(dialect(writable=True)).sql.decode().split())
    assert text.startswith('INSERT INTO public."User" AS users (_id, mail) VALUES')
    assert 'RETURNING users._id, users.mail, users."full name"' in text


def test_an_upsert_into_it_is_refused() -> None:
    table: Any = User.__table__
    statement = insert(table).values(id="u_1").on_conflict_do_nothing()
    with pytest.raises(UsageError, match="upsert into the adopted table"):
        sql(statement, dialect(writable=True))


def test_a_write_may_look_into_it_again() -> None:
    bound = dialect(writable=True)
    inner = select(User.id).where(User.email == "a@b")
    text = sql(update(User).where(User.id.in_(inner)).values(name="x"), bound)
    assert "users._id IN (SELECT users._id" in text
    assert "users.mail = $2" in text
    other = aliased(User)
    same = exists(select(other.id).where(func.lower(other.email) == "a@b"))
    text = sql(update(User).where(same).values(name="x"), bound)
    assert 'mail AS email, "full name" AS name FROM public."User") AS users_1' in text
    assert "lower(users_1.email)" in text


@pytest.mark.parametrize("table", ["User", "public.", ".User", 'public."User"', "a.b.c"])
def test_a_binding_without_a_qualified_name_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match=r"is not schema\.table"):
        Binding(table)


def test_a_binding_of_an_unknown_key_type_or_an_empty_column_is_refused() -> None:
    with pytest.raises(SettingsError, match="uuid, text, bigint"):
        Binding(HOST, key_type="int")
    with pytest.raises(SettingsError, match="empty column name"):
        Binding(HOST, columns={"email": ""})
