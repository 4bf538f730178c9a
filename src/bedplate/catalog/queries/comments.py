"""An object's comment, as a part of a query."""

from __future__ import annotations


def comment_on(catalog: str, oid: str, part: str = "0") -> str:
    """Return the SQL of the comment on the object of that oid in pg_class, pg_proc ...; or NULL.

    A look into the index for each row: where pg_description was never analyzed PostgreSQL joins it
    by comparing every row with every comment.
    """
    return (
        "(SELECT note.description FROM pg_catalog.pg_description note"
        f" WHERE note.objoid = {oid} AND note.objsubid = {part}"
        f" AND note.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass)"
    )
