"""What an INSERT or COPY of a model's rows sends: which columns, which defaults, checked how.

Defaults are filled in here and not by SQLAlchemy, because an adopted table lacks columns, COPY
knows no defaults but the server's, and a declared INSERT is compiled once for each set of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Column, Insert, TableClause, bindparam
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapper

from bedplate.kernel import ids
from bedplate.kernel.dialect import BoundDialect, host_column
from bedplate.kernel.errors import FieldInvalid
from bedplate.kernel.query import Query
from bedplate.kernel.values import Convert, converter

IDS_AT_ONCE = 1_000


def bare_table(mapper: Mapper[Any]) -> TableClause:
    """Return the model's table without defaults: what is not named is left to the server."""
    table: Any = mapper.local_table
    columns = [sqlalchemy.column(column.name, column.type) for column in table.columns]
    return sqlalchemy.table(table.name, *columns, schema=table.schema)


class Defaults:
    """The values a model's fields get when the caller gave none: made anew, or always the same."""

    def __init__(self, mapper: Mapper[Any]) -> None:
        columns: Any = {each.key: each.columns[0] for each in mapper.column_attrs}
        self.columns: dict[str, Column[Any]] = columns
        self.makers: dict[str, Callable[[], Any]] = {}
        self.constants: dict[str, Any] = {}
        for key, column in self.columns.items():
            default: Any = column.default
            if default is None or default.is_sequence or default.is_clause_element:
                continue
            if default.is_callable:
                self.makers[key] = _maker(default)
            else:
                self.constants[key] = default.arg
        if "id" in self.columns and self.columns["id"].primary_key and "id" not in self.constants:
            self.makers.setdefault("id", ids.new)

    def fill(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the values to send: those given, then defaults for the rest."""
        values = {key: value for key, value in given.items() if key in self.columns}
        for key, maker in self.makers.items():
            if key not in values:
                values[key] = maker()
        return {**self.constants, **values}


def _maker(default: Any) -> Callable[[], Any]:
    return lambda: default.arg(None)


def insert_statement(mapper: Mapper[Any], keys: Iterable[str]) -> Insert:
    """Return the INSERT of the named fields, one parameter for each."""
    columns = {key: mapper.column_attrs[key].columns[0].name for key in keys}
    table = bare_table(mapper)
    return insert(table).values(
        {table.c[name]: bindparam(key, type_=table.c[name].type) for key, name in columns.items()}
    )


class Loading:
    """A COPY of rows given as tuples of some fields: ids and defaults added, all checked."""

    def __init__(
        self, mapper: Mapper[Any], defaults: Defaults, keys: Sequence[str], dialect: BoundDialect
    ) -> None:
        binding = dialect.binding_of(mapper.local_table)
        absent = {
            key
            for key, column in defaults.columns.items()
            if key in keys or (binding is not None and binding.column(column.name) is None)
        }
        made = [key for key in defaults.makers if key not in absent and key != "id"]
        constant = [key for key in defaults.constants if key not in absent]
        self._with_ids = "id" in defaults.makers and "id" not in absent
        self._keys = keys
        name = mapper.class_.__name__

        def check(key: str) -> Convert:
            return converter(defaults.columns[key].type, dialect, f"{name}.{key}")

        self._checks = tuple((index, check(key)) for index, key in enumerate(keys))
        self._makers = tuple((defaults.makers[key], check(key)) for key in made)
        values = ((key, defaults.constants[key]) for key in constant)
        self._constants = [value if value is None else check(key)(value) for key, value in values]
        ordered = [*keys, *(["id"] if self._with_ids else []), *made, *constant]
        self._mapper, self._dialect, self._ordered = mapper, dialect, ordered
        self.sql = f"COPY {_target(mapper, defaults, ordered, dialect)} FROM STDIN"

    def insert(self) -> tuple[bytes, Callable[[Sequence[Any]], Sequence[Any]]]:
        """Return the INSERT that does the same row by row, and what orders a row for it.

        PostgreSQL refuses COPY into a table that row-level security guards.
        """
        plan = Query[Any](insert_statement(self._mapper, self._ordered)).plan(self._dialect)
        places = [self._ordered.index(name) for name in plan.order]
        return plan.sql, lambda row: [row[place] for place in places]

    def rows(self, rows: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
        """Yield the rows to send; raises FieldInvalid with the row's number for a wrong one."""
        new_ids = _ids() if self._with_ids else None
        checks, makers, constants = self._checks, self._makers, self._constants
        width = len(self._keys)
        for number, row in enumerate(rows, start=1):
            if len(row) != width:
                raise FieldInvalid(
                    f"Row {number} has {len(row)} values for {width} fields.",
                    f"Give a value for each of {', '.join(self._keys)}.",
                )
            values = list(row)
            try:
                for index, check in checks:
                    if (value := values[index]) is not None:
                        values[index] = check(value)
            except FieldInvalid as wrong:
                raise type(wrong)(f"Row {number}: {wrong.message}", wrong.next_step) from None
            if new_ids is not None:
                values.append(next(new_ids))
            for maker, check in makers:
                value = maker()
                values.append(value if value is None else check(value))
            values += constants
            yield values


def _target(
    mapper: Mapper[Any], defaults: Defaults, keys: Sequence[str], dialect: BoundDialect
) -> str:
    table: Any = mapper.local_table
    quote = dialect.identifier_preparer.quote
    binding = dialect.binding_of(table)
    columns = [defaults.columns[key] for key in keys]
    if binding is None:
        names = ", ".join(quote(column.name) for column in columns)
        return f"{quote(table.schema)}.{quote(table.name)} ({names})"
    names = ", ".join(quote(host_column(binding, column)) for column in columns)
    return f"{quote(binding.schema)}.{quote(binding.name)} ({names})"


def _ids() -> Iterator[str]:
    while True:
        yield from ids.texts(IDS_AT_ONCE)
