"""Factories against the database: it is the judge of what is valid."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.integrations.blocking import wait
from bedplate.kernel.columns import Identified
from bedplate.kernel.model import Model
from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import User, users
from bedplate.project import Project
from bedplate.testing import Factories, Factory
from tests.shop import Customer, Order, OrderLine, Product

ROWS = 1_000


def test_a_thousand_rows_of_every_model_violate_nothing(
    bedplate_blocking_project: Project, bedplate_factories: Factories
) -> None:
    project = bedplate_blocking_project
    for manifest in project.registry.ordered:
        for model in manifest.models:

            async def fill(model: type[Model] = model) -> int:
                # Committed, so that deferred constraints have their say too.
                await bedplate_factories(model).create_many(project.db, ROWS)
                return await project.db.one(select(func.count()).select_from(model))

            assert wait(fill()) >= ROWS, model


async def test_parents_are_made_first_and_shared(
    bedplate_tx: Transaction, bedplate_factories: Factories
) -> None:
    lines = await bedplate_factories(OrderLine).create_many(bedplate_tx, 30)
    assert len({line.order_id for line in lines}) == 3
    counts = [
        await bedplate_tx.one(select(func.count()).select_from(model))
        for model in (User, Customer, Order, Product, OrderLine)
    ]
    # One customer per user: a unique rule on the key means a parent each.
    assert counts == [1, 1, 3, 3, 30]


async def test_what_is_given_is_kept(
    bedplate_tx: Transaction, bedplate_factories: Factories
) -> None:
    user = await bedplate_factories(User).create(bedplate_tx, email=None, clerk_id="clerk_1")
    customer = await bedplate_factories(Customer).create(bedplate_tx, user_id=user.id, name="Ada")
    assert (customer.user_id, customer.name) == (user.id, "Ada")
    assert await users.count(bedplate_tx) == 1


async def test_a_created_row_has_the_servers_defaults(
    bedplate_tx: Transaction, bedplate_factories: Factories
) -> None:
    product = await bedplate_factories(Product).create(bedplate_tx)
    assert product.version == 1
    assert product.created_at is not None


def test_a_seed_makes_the_same_rows_and_another_seed_others() -> None:
    def rows(seed: int) -> list[object]:
        factory = Factories(seed)(Order)
        made = [factory.make() for _ in range(50)]
        return [(row.id, row.customer_id, row.number, row.total) for row in made]

    assert rows(0) == rows(0)
    assert not set(rows(0)) & set(rows(1))


async def test_two_seeds_meet_in_one_database(bedplate_tx: Transaction) -> None:
    for seed in (0, 1, 2):
        await Factories(seed)(OrderLine).create_many(bedplate_tx, 100)


class Currency(Identified, Model):
    __tablename__ = "currencies"
    __table_args__ = (
        CheckConstraint("code ~ '^[A-Z]{3}$'", name="code"),
        CheckConstraint("digits BETWEEN 2 AND 4", name="digits"),
        {"schema": "elsewhere"},
    )

    code: Mapped[str] = mapped_column(unique=True)
    digits: Mapped[int]


def test_a_shape_tells_what_a_check_wants() -> None:
    factory = Factory(Currency, shapes={"code": lambda number: f"X{number:02}"})
    rows = [factory.make() for _ in range(20)]
    assert [row.code for row in rows[:2]] == ["X01", "X02"]
    assert {row.digits for row in rows} == {2, 3, 4}
