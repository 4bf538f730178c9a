"""Every revision of every module leads up, back and up again, over rows in every table.

What `registry.available()` finds is walked: a module that is written later is covered by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import pytest

from bedplate.catalog import connect
from bedplate.kernel import registry as registries
from bedplate.kernel.bindings import Binding
from bedplate.kernel.lines import KERNEL_LINE
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import alembic_bridge
from bedplate.operations.migrate.state import own_tables
from bedplate.testing.generated_rows.generate import RUNNER_TABLES
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import shop
from tests.operations.walk import Stop, Walk, check, differences, stops

HOST = """
CREATE SCHEMA host;
CREATE TABLE host."Users" (
    "userId" {key} PRIMARY KEY, email text UNIQUE, boss_id {key} REFERENCES host."Users"
);
CREATE INDEX users_by_boss ON host."Users" (boss_id);
COMMENT ON TABLE host."Users" IS 'The host''s own.';
"""
USERS = ("ours", "uuid", "text", "bigint")
"""Whose users: the module's own, or a host's with a key of that type."""


@cache
def registry() -> Registry:
    return registries.load(registries.available())


# A key's type stands in the same places of the same statements, whatever it is: one type of a
# host's is walked always, and every line is led home (below) beside each of them.
SELDOM = dict.fromkeys(("uuid", "bigint"), pytest.mark.full)
CASES = [
    pytest.param(users, stop, id=f"{users}-{stop}", marks=SELDOM.get(users, ()))
    for users in USERS
    for stop in stops(registry())
    # The kernel's line knows of no users.
    if users == "ours" or stop.line != KERNEL_LINE
]
WalkOf = Callable[[str, Stop | None], Walk]


@pytest.fixture(scope="module")
def walk_of(server: Server) -> Iterator[WalkOf]:
    """A walk for each kind of users, shared by all of its revisions: they come in order.

    Nearly always, that is: a worker that is done takes stops over from another one, and begins a
    walk anew where its own has gone past them.
    """
    walks: dict[str, Walk] = {}
    with ExitStack() as stack:

        def made(users: str) -> Walk:
            database = stack.enter_context(new_database(server))
            theirs = users != "ours"
            binding = Binding("host.Users", key="userId", key_type=users if theirs else "uuid")
            walk = Walk(
                registry(),
                database,
                bindings={"users": binding} if theirs else {},
                host_sql=HOST.format(key=users) if theirs else "",
            )
            return stack.enter_context(closing(walk))

        def leading_to(users: str, stop: Stop | None) -> Walk:
            if users not in walks or not walks[users].leads_to(stop):
                walks[users] = made(users)
            return walks[users]

        yield leading_to


@pytest.mark.parametrize(("users", "stop"), CASES)
def test_a_revision_leads_up_back_and_up_again(users: str, stop: Stop, walk_of: WalkOf) -> None:
    reason = alembic_bridge.describe(stop.line, stop.revision).irreversible
    if reason is not None:
        pytest.skip(f"irreversible: {reason}")
    check(walk_of(users, stop), stop)


def test_the_runners_own_tables_get_no_rows(walk_of: WalkOf) -> None:
    walk = walk_of("ours", None)
    walk.go_before(None)
    assert set(RUNNER_TABLES) == own_tables([]) - {"bedplate.audit_log"}
    with connect(walk.database.owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM bedplate.journal").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM auth.schema_version").fetchone() == (1,)


@pytest.mark.parametrize("users", USERS)
def test_every_line_goes_home_from_rows_and_leaves_the_host_alone(
    users: str, walk_of: WalkOf
) -> None:
    walk = walk_of(users, None)
    walk.go_before(None)
    host = walk.look()
    for line in reversed(walk.registry.lines):
        before = walk.look()
        walk.down(line, None)
        after = walk.look()
        assert after.snapshot.schema(line.schema) is None
        kept = {name: rows for name, rows in before.contents.items() if name in after.contents}
        assert kept == after.contents, line.name
    after = walk.look()
    assert [schema.name for schema in after.snapshot.schemas if schema.name != "public"] == (
        [] if users == "ours" else ["host"]
    )
    assert after.snapshot.schema("host") == host.snapshot.schema("host")
    walk.close()


def test_every_built_in_module_is_walked() -> None:
    walked = {stop.line.name for stop in stops(registry())}
    assert walked == {KERNEL_LINE.name, *registries.available()}
    assert {"auth", "credits"} <= walked


LEAVES_AN_INDEX = """
touches = Footprint(shape=["shop.items", "shop.ix_items_price"])

def upgrade():
    op.execute("CREATE INDEX ix_items_price ON shop.items (price)")
    op.execute("CREATE INDEX ix_items_id_price ON shop.items (id, price)")

def downgrade():
    op.execute("DROP INDEX shop.ix_items_price")
"""
LOSES_ROWS = """
touches = Footprint(rows=["shop.items"])

def upgrade():
    op.execute("ALTER TABLE shop.items ADD COLUMN note text")

def downgrade():
    op.execute("ALTER TABLE shop.items DROP COLUMN note")
    op.execute("DELETE FROM shop.items WHERE price = (SELECT min(price) FROM shop.items)")
"""
CHANGES_A_VALUE = """
touches = Footprint(rows=["shop.items"])

def upgrade():
    op.execute("UPDATE shop.items SET price = price + 1")

def downgrade():
    op.execute("UPDATE shop.items SET price = price - 2 WHERE price > 2")
"""
DIFFERS_THE_SECOND_TIME = """
from pathlib import Path

RAN = Path(__file__).with_suffix(".ran")

def upgrade():
    kind = "bigint" if RAN.exists() else "int"
    op.execute(f"ALTER TABLE shop.items ADD COLUMN stock {kind}")
    RAN.touch()

def downgrade():
    op.execute("ALTER TABLE shop.items DROP COLUMN stock")
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (LEAVES_AN_INDEX, "does not lead back. .*ix_items_id_price"),
        (LOSES_ROWS, "does not lead back. .*rows of shop.items .* 3 rows before, 2 rows after"),
        (
            CHANGES_A_VALUE,
            "does not lead back. .*rows of shop.items .* 3 rows before, 3 rows after",
        ),
        (DIFFERS_THE_SECOND_TIME, "leads elsewhere. .*shop.items.stock"),
    ],
    ids=["leaves-an-index", "loses-rows", "changes-a-value", "differs-the-second-time"],
)
def test_a_revision_that_does_not_lead_back_is_named(
    database: TestDatabase, tmp_path: Path, body: str, said: str
) -> None:
    module = shop(tmp_path)
    module.add("0003_wrong", "from bedplate.kernel.footprint import Footprint\n" + body)
    with (
        closing(Walk(Registry([module.manifest()]), database)) as walk,
        pytest.raises(AssertionError, match=f"^shop-0003_wrong: .*{said}"),
    ):
        check(walk, list(stops(walk.registry))[-1])


def test_a_right_one_is_not(database: TestDatabase, tmp_path: Path) -> None:
    with closing(Walk(Registry([shop(tmp_path).manifest()]), database)) as walk:
        for stop in list(stops(walk.registry))[-2:]:
            check(walk, stop)
        assert not differences(walk.look(), walk.look())
        assert walk.look().contents["shop.items"].rows == 0
        walk.go_before(None)
        assert walk.look().contents["shop.items"].rows == 3
