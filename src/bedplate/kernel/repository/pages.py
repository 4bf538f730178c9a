"""What the pages of one filter and order share: building a statement anew costs more than a page.

A `PageShape` is kept by the repository for each shape of filter (its values aside), order and set
of includes; it hands out compiled statements, one for each direction and set of NULLs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, Select, bindparam, literal_column

from bedplate.kernel import pagination
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.pagination import Key, Page, Position
from bedplate.kernel.plan import Plan, Wanted, compile_plan
from bedplate.kernel.query import kept

NONE: Mapping[str, Any] = {}


def rows_limit(rows: int) -> Any:
    """Return a limit that is written out: PostgreSQL would plan a parameter's anew every time."""
    return literal_column(str(int(rows)), Integer)


class PageShape:
    """One shape of filter with one order; `key` is SQLAlchemy's for the filter, None without."""

    def __init__(
        self, filtered: Select[Any], key: Any, keys: tuple[Key, ...], wanted: Wanted
    ) -> None:
        self.keys = keys
        self._filtered = filtered
        self._key = key
        self._wanted = wanted
        self._text, self._values = pagination.written(filtered)

    def asked(self, binds: Sequence[Any]) -> Asked:
        """Return this shape with the values of one call's filter."""
        return self._asked(binds, [bind.effective_value for bind in binds])

    def alone(self) -> Asked:
        """Return this shape with the values it was made of, which are part of it."""
        return self._asked((), self._values)

    def _asked(self, binds: Sequence[Any], values: Sequence[Any]) -> Asked:
        deleted = self._wanted.deleted
        bound_to = pagination.fingerprint(self._text, values, self.keys, deleted=deleted)
        return Asked(self, tuple(binds), bound_to)

    def plan(self, dialect: BoundDialect, size: int, position: Position | None) -> Plan:
        """Return the compiled statement for a page of this size and kind."""
        nulls = None if position is None else tuple(value is None for value in position.values)
        backward = position is not None and position.backward

        def compiled() -> Plan:
            statement = self._statement(size, backward, nulls)
            return compile_plan(statement, dialect, self._wanted, cache_key=self._key)

        return kept((self, size, backward, nulls), dialect, compiled)

    def _statement(self, size: int, backward: bool, nulls: tuple[bool, ...] | None) -> Select[Any]:
        statement = self._filtered
        if nulls is not None:
            marks = [
                None if null else bindparam(_mark(index), type_=key.column.type)
                for index, (key, null) in enumerate(zip(self.keys, nulls, strict=True))
            ]
            statement = statement.where(pagination.after(self.keys, marks, backward=backward))
        ordered = statement.order_by(*(key.ordered(backward) for key in self.keys))
        # One row more than asked for tells whether there is another page.
        return ordered.limit(rows_limit(size + 1))


@dataclass(frozen=True, slots=True)
class Asked:
    """One call's page: its shape, the values of its filter, and what its cursors are bound to."""

    shape: PageShape
    binds: tuple[Any, ...]
    bound_to: bytes

    def position(self, cursor: str | None) -> Position | None:
        """Return where the page starts; raises CursorInvalid for another query's cursor."""
        return None if cursor is None else pagination.decode(cursor, self.shape.keys, self.bound_to)

    def parameters(self, plan: Plan, position: Position | None) -> Mapping[str, Any]:
        """Return the values to send: the filter's, and the position's."""
        carried = plan.carried(self.binds) if self.binds else NONE
        if position is None:
            return carried
        marks = {
            _mark(index): value for index, value in enumerate(position.values) if value is not None
        }
        return {**carried, **marks}

    def page(self, rows: list[Any], size: int, position: Position | None) -> Page[Any]:
        """Make the page of the rows found, which may be one more than its size."""
        return pagination.page_of(rows, size, position, self.shape.keys, self.bound_to)


def _mark(index: int) -> str:
    return f"page_mark_{index}"
