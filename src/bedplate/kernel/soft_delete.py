"""The filter that cannot be forgotten: deleted rows stay out of every table a statement reads.

SQLAlchemy's loader criteria do most of it. They do not reach the other tables of an UPDATE … FROM
or DELETE … USING, nor the EXISTS of a relation that leads back to its own table, so the compiler
adds the condition there. Adopted tables are the host's: their rows are never hidden.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Alias
from sqlalchemy.orm import Mapper, with_loader_criteria

from bedplate.kernel.columns import SoftDeleted
from bedplate.kernel.model import Model

LIVING = "bedplate_living"
"""The execution option by which the compiler knows that deleted rows are to stay out."""


def living(statement: Any, dialect: Any) -> Any:
    """Return the statement without the deleted rows of any soft-deleted table of ours."""
    if not hasattr(statement, "options"):
        return statement
    criteria = [
        with_loader_criteria(
            mapper.class_, mapper.class_.deleted_at.is_(None), include_aliases=True
        )
        for mapper in _ours(dialect)
    ]
    return statement.options(*criteria).execution_options(**{LIVING: True})


def living_select(select: Any, dialect: Any) -> Any:
    """Return a select without what has() and any() of a self-relation would still see."""
    # Their alias stands for the model itself, so the loader criteria take it for the outer table.
    return _narrowed(select, dialect, [part for part in select._from_obj if _is_self_related(part)])


def living_write(write: Any, dialect: Any) -> Any:
    """Return an update or delete that joins no deleted rows of other tables."""
    values: dict[Any, Any] = getattr(write, "_values", None) or {}
    clauses = [*write._where_criteria, *values.values()]
    # A dict, because conditions must stand in a stable order.
    parts: dict[Any, None] = dict.fromkeys(
        part for clause in clauses for part in getattr(clause, "_from_objects", ())
    )
    return _narrowed(write, dialect, [part for part in parts if part != write.table])


def _narrowed(statement: Any, dialect: Any, parts: list[Any]) -> Any:
    for part in parts:
        table: Any = part.element if _is_alias(part) else part
        if any(mapper.local_table == table for mapper in _ours(dialect)):
            statement = statement.where(part.c.deleted_at.is_(None))
    return statement


def _is_alias(part: object) -> bool:
    return isinstance(part, Alias)


def _is_self_related(part: Any) -> bool:
    return _is_alias(part) and isinstance(part._annotations.get("parententity"), Mapper)


def _ours(dialect: Any) -> list[Mapper[Any]]:
    return [
        mapper
        for mapper in Model.registry.mappers
        if issubclass(mapper.class_, SoftDeleted) and dialect.binding_of(mapper.local_table) is None
    ]
