"""What a revision asks of its surroundings: places of tables that may be a host's."""

from __future__ import annotations

import pytest

from bedplate.kernel import lines
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import RegistryError
from bedplate.kernel.lines import LineContext

OWN = LineContext(schema="shop", execute=print, homes={"users": "auth.users.id"})
HOST = LineContext(
    schema="shop",
    execute=print,
    homes={"users": "auth.users.id"},
    bindings={
        "users": Binding(
            "public.People", key="personId", key_type="bigint", columns={"email": "mailAddress"}
        )
    },
)
TEXT = "{users} {users_table} {users_id} {users_key} {users.email}"


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (OWN, '"auth"."users" ("id") "auth"."users" "id" uuid "email"'),
        (HOST, '"public"."People" ("personId") "public"."People" "personId" bigint "mailAddress"'),
    ],
    ids=["ours", "a-hosts"],
)
def test_places_are_filled_in(context: LineContext, expected: str) -> None:
    with lines.running(context):
        assert lines.with_places(TEXT) == expected


def test_a_column_that_the_host_lacks_is_named_or_null() -> None:
    with lines.running(HOST):
        assert lines.with_places("SELECT {users.name?}") == "SELECT NULL::text"
        with pytest.raises(RegistryError, match=r"users has no column bound to 'name'"):
            lines.with_places("SELECT {users.name}")
