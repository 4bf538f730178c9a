"""What each role may do on a server we run, before any line has granted anything."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from bedplate.kernel import embedded, roles
from bedplate.kernel.embedded import Attachment, RoleName

PASSWORDS = {"owner": "o'\"wner", "app": "app", "reader": "read%er"}


@pytest.fixture(scope="module", params=[16, 18])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attachment]:
    folder = tmp_path_factory.mktemp("roles") / "shop"
    folder.mkdir()
    attachment = embedded.attach(folder, major=request.param, durable=False)
    yield attachment
    embedded.purge(folder)


def execute(server: Attachment, role: RoleName, *statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(role), autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_names_carry_the_databases() -> None:
    assert roles.names("shop") == roles.Roles(
        "shop_owner", "shop_app", "shop_guarded", "shop_reader"
    )


def test_no_role_has_a_power_of_the_server(server: Attachment) -> None:
    found = execute(
        server,
        "admin",
        "SELECT rolname, rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls"
        " OR rolreplication FROM pg_roles WHERE rolname LIKE 'shop\\_%' ORDER BY 1",
    )
    assert found == [
        ("shop_app", True, False),
        ("shop_guarded", False, False),
        ("shop_owner", True, False),
        ("shop_reader", True, False),
    ]


def test_the_owner_makes_schemas_and_the_others_make_nothing(server: Attachment) -> None:
    execute(server, "owner", "CREATE SCHEMA auth", "DROP SCHEMA auth")
    for role in ("app", "reader"):
        for statement in (
            "CREATE SCHEMA other",
            "CREATE TABLE public.other (id int)",
            "CREATE TEMPORARY TABLE other (id int)",
            "SET session_replication_role = replica",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
                execute(server, role, statement)


def test_the_app_enters_guarded_and_has_none_of_its_rights_before(server: Attachment) -> None:
    execute(
        server,
        "owner",
        "CREATE TABLE public.walled (id int)",
        "GRANT SELECT ON public.walled TO shop_guarded",
    )
    with pytest.raises(errors.InsufficientPrivilege):
        execute(server, "app", "SELECT * FROM public.walled")
    entered = ["SET ROLE shop_guarded", "SELECT current_user, count(*) FROM public.walled"]
    assert execute(server, "app", *entered) == [("shop_guarded", 0)]
    for role in ("owner", "reader"):
        with pytest.raises(errors.InsufficientPrivilege):
            execute(server, role, "SET ROLE shop_guarded")
    with pytest.raises(errors.InsufficientPrivilege):
        execute(server, "app", "SET ROLE shop_owner")


def test_the_reader_reads_only_by_default(server: Attachment) -> None:
    assert execute(server, "reader", "SHOW default_transaction_read_only") == [("on",)]


def test_strangers_cannot_connect(server: Attachment) -> None:
    execute(server, "admin", "CREATE ROLE stranger LOGIN PASSWORD 'x'")
    url = server.url().replace("shop_app:", "stranger:")
    password = url.split(":")[2].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url.replace(password, "x"))


def test_ensure_repeats_without_a_change_and_brings_passwords_up_to_date(
    server: Attachment,
) -> None:
    admin = server.url("admin", "postgres")
    state = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'other\\_%' ORDER BY 1"
    assert roles.ensure(admin, "other", PASSWORDS)
    before = execute(server, "admin", state)
    asked = execute(server, "admin", "SELECT current_setting('scram_iterations', true)")[0][0]
    stored = f"SCRAM-SHA-256${asked or roles.SCRAM_ROUNDS}:"
    assert all(verifier.startswith(stored) for _, verifier in before if verifier is not None)
    assert not roles.ensure(admin, "other", PASSWORDS)
    assert execute(server, "admin", state) == before
    assert not roles.ensure(admin, "other", {**PASSWORDS, "app": "new"})
    after = execute(server, "admin", state)
    assert [old[0] for old, new in zip(before, after, strict=True) if old != new] == ["other_app"]


def test_a_password_of_any_characters_opens(server: Attachment) -> None:
    roles.ensure(server.url("admin", "postgres"), "other", PASSWORDS)
    for role in ("owner", "app", "reader"):
        name = f"other_{role}"
        with psycopg.connect(
            server.url("admin"), dbname="other", user=name, password=PASSWORDS[role]
        ) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (name,)


def test_the_verifier_is_the_one_postgresql_computes() -> None:
    # RFC 7677's example: user "user", password "pencil".
    salt = b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81"
    assert roles.scram_verifier("pencil", salt, 4096) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
