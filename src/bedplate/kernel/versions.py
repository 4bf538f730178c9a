"""Which revision of each line a database has, asked at opening as the app role."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Text, bindparam, column, literal_column, select, table, text, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from bedplate.kernel.handle import Handle
from bedplate.kernel.lines import VERSION_TABLE
from bedplate.kernel.query import Query

_PRESENT: Query[str] = Query(
    text(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE c.relname = '{VERSION_TABLE}' AND n.nspname = ANY(:schemas)"
    )
    .bindparams(bindparam("schemas", type_=ARRAY(Text)))
    .columns(column("nspname", Text))
)


async def versions(db: Handle, schemas: Iterable[str]) -> dict[str, str | None]:
    """Return the revision of each schema's line; None where it has none."""
    wanted = list(schemas)
    present = await db.all(_PRESENT, schemas=wanted)
    found: dict[str, str | None] = dict.fromkeys(wanted)
    if present:
        parts = [
            select(
                literal_column(f"'{schema}'", Text).label("schema"),
                table(VERSION_TABLE, column("version_num", Text), schema=schema).c.version_num,
            )
            for schema in present
        ]
        found.update(dict(await db.all(union_all(*parts))))
    return found
