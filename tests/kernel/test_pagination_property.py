"""Pages while others insert and delete: of the rows that stay, none is skipped and none doubled."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bedplate import Database
from bedplate.kernel.fields import Term
from tests.kernel.builders import new_product, specimens
from tests.shop import Kind, Specimen
from tests.world import World

ORDERS: tuple[tuple[Term, ...], ...] = (
    (Specimen.kind, Specimen.small.desc()),
    (Specimen.flag.desc(), Specimen.short),
    (Specimen.small.desc(), Specimen.kind.desc()),
    (Specimen.short,),
)

rows = st.fixed_dictionaries(
    {
        "kind": st.none() | st.sampled_from(Kind),
        "small": st.none() | st.integers(0, 3),
        "flag": st.none() | st.booleans(),
        "short": st.none() | st.sampled_from("abÄ"),
    }
)
changes = st.tuples(st.lists(rows, max_size=3), st.lists(st.integers(0, 50), max_size=3))
"""What happens between two pages: rows that come, and the places of rows that go."""
NOTHING: tuple[list[Any], list[int]] = ([], [])


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    # Every example begins with an empty table, so they may share the test's database.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    begin=st.lists(rows, min_size=1, max_size=12),
    between=st.lists(changes, max_size=6),
    order=st.sampled_from(ORDERS),
    size=st.integers(1, 5),
    back=st.booleans(),
)
def test_rows_that_stay_are_read_once(
    world: World, begin: list[Any], between: list[Any], order: Any, size: int, back: bool
) -> None:
    async def body(db: Database) -> None:
        await db.run(delete(Specimen))
        product = (await new_product(db, f"A-{world.clock.now.timestamp()}")).id
        living: list[Any] = []

        async def insert(given_rows: list[Any]) -> None:
            for row in given_rows:
                living.append((await specimens.create(db, Specimen(product_id=product, **row))).id)

        await insert(begin)
        page = await specimens.page(db, order=order, size=size)
        if back:
            while page.next:
                page = await specimens.page(db, order=order, size=size, at=page.next)
        # Read backward, the last page comes first; what it holds counts as read.
        stays, seen = set(living), [[row.id for row in page.items]]
        pending: list[tuple[list[Any], list[int]]] = list(between)
        while at := page.previous if back else page.next:
            come, go = pending.pop(0) if pending else NOTHING
            await insert(come)
            for place in go:
                if living:
                    gone = living.pop(place % len(living))
                    stays.discard(gone)
                    await specimens.delete(db, gone)
            page = await specimens.page(db, order=order, size=size, at=at)
            seen.append([row.id for row in page.items])
        read = [key for keys in (reversed(seen) if back else seen) for key in keys]
        assert len(read) == len(set(read))
        assert stays <= set(read)
        # What is still there was read in the order that PostgreSQL sorts it in.
        last = Specimen.id.desc() if "DESC" in str(order[0]) else Specimen.id.asc()
        now = [row.id for row in await specimens.list(db, order=(*order, last))]
        kept = set(read) & set(now)
        assert [key for key in read if key in kept] == [key for key in now if key in kept]

    world.run(body(world.db))
