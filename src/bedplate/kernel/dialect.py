"""SQLAlchemy's PostgreSQL dialect, fixed for one project: its bindings and its compiled statements.

Placeholders are PostgreSQL's own ($1), so the driver need not rewrite a statement. A table that the
project has adopted is compiled as a derived table under our names, which PostgreSQL flattens away;
statements, models and checks therefore never know that they speak to a host's table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql.psycopg import (
    PGCompiler_psycopg,
    PGDialect_psycopg,
    PGIdentifierPreparer_psycopg,
)

from bedplate.kernel import soft_delete
from bedplate.kernel.bindings import Binding, Bindings
from bedplate.kernel.errors import FieldNotBound, TableNotWritable, UsageError


class BoundDialect(PGDialect_psycopg):
    """One project's dialect: PostgreSQL through psycopg, with adopted tables in place of ours."""

    supports_statement_cache = True

    def __init__(
        self, bindings: Bindings | None = None, adoptable: Mapping[str, str] | None = None
    ) -> None:
        """Fix the bindings; `adoptable` maps our tables (auth.users) to binding names (users)."""
        super().__init__(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        self.bindings: Mapping[str, Binding] = dict(bindings or {})
        self.plans: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.adhoc_plans: dict[Any, Any] = {}
        self.adopted = {
            table: self.bindings[name]
            for table, name in (adoptable or {}).items()
            if name in self.bindings
        }

    def binding_of(self, table: Any) -> Binding | None:
        """Return the binding of a table, or None where the table is our own."""
        return self.adopted.get(getattr(table, "fullname", "")) if self.adopted else None


class BoundPreparer(PGIdentifierPreparer_psycopg):
    """Quotes names, and gives the columns of an INSERT into an adopted table their host's names."""

    dialect: BoundDialect

    def format_table(self, table: Any, *args: Any, **kwargs: Any) -> str:
        """Quote the target of an INSERT; an adopted one goes by our name in RETURNING."""
        binding = self.dialect.binding_of(table)
        if binding is None:
            return super().format_table(table, *args, **kwargs)
        _require_writable(binding)
        return (
            f"{self.quote(binding.schema)}.{self.quote(binding.name)} AS {self.quote(table.name)}"
        )

    def format_column(self, column: Any, *args: Any, **kwargs: Any) -> str:
        """Quote a column's name as the database knows it."""
        binding = self.dialect.binding_of(getattr(column, "table", None))
        if binding is not None:
            return self.quote(host_column(binding, column))
        return super().format_column(column, *args, **kwargs)


# SQLAlchemy's visit methods are untyped; getattr says so without hiding anything else.
class BoundCompiler(PGCompiler_psycopg):
    """Compiles statements with adopted tables in place of ours."""

    dialect: BoundDialect

    def visit_table(  # type: ignore[override]
        self, table: Any, asfrom: bool = False, **kw: Any
    ) -> str:
        """Render an adopted table under our name; ours as SQLAlchemy does."""
        binding = self.dialect.binding_of(table)
        if binding is None or not asfrom:
            plain: Any = getattr(super(), "visit_table")  # noqa: B009
            rendered: str = plain(table, asfrom=asfrom, **kw)
            return rendered
        quote = self.preparer.quote
        host = f"{quote(binding.schema)}.{quote(binding.name)}"
        alias = kw.get("enclosing_alias")
        is_aliased = alias is not None and alias.element is table
        suffix = "" if is_aliased else f" AS {quote(table.name)}"
        if self._is_target(table) and not is_aliased:
            _require_writable(binding)
            return host + suffix
        columns = ", ".join(
            f"{quote(name)} AS {quote(column.name)}"
            for column in table.columns
            if (name := binding.column(column.name)) is not None
        )
        return f"(SELECT {columns} FROM {host}){suffix}"

    def visit_column(self, column: Any, *args: Any, **kw: Any) -> str:
        """Render a column; of an adopted table under our alias, or refuse one it lacks."""
        binding = self.dialect.binding_of(column.table)
        if binding is None:
            return super().visit_column(column, *args, **kw)
        name = host_column(binding, column)
        quote = self.preparer.quote
        if kw.get("add_to_result_map") is not None:
            kw["add_to_result_map"](column.name, column.name, (column, column.name), column.type)
        if not self._is_target(column.table):
            name = column.name
        if not kw.get("include_table", True):
            return quote(name)
        return f"{quote(column.table.name)}.{quote(name)}"

    def visit_insert(self, insert_stmt: Any, *args: Any, **kw: Any) -> str:
        """Refuse what cannot be said of an adopted table: ON CONFLICT names our columns."""
        binding = self.dialect.binding_of(insert_stmt.table)
        if binding is not None and getattr(insert_stmt, "_post_values_clause", None) is not None:
            _require_writable(binding)
            raise UsageError(
                f"An upsert into the adopted table {binding.table} is not possible.",
                "Use create() or update().",
            )
        plain: Any = getattr(super(), "visit_insert")  # noqa: B009
        rendered: str = plain(insert_stmt, *args, **kw)
        return rendered

    def visit_select(self, select_stmt: Any, *args: Any, **kw: Any) -> str:
        """Leave out deleted rows where SQLAlchemy's loader criteria do not reach."""
        if self._is_living():
            select_stmt = soft_delete.living_select(select_stmt, self.dialect)
        plain: Any = getattr(super(), "visit_select")  # noqa: B009
        rendered: str = plain(select_stmt, *args, **kw)
        return rendered

    def visit_update(self, update_stmt: Any, *args: Any, **kw: Any) -> str:
        """Join no deleted rows in an UPDATE … FROM."""
        if self._is_living():
            update_stmt = soft_delete.living_write(update_stmt, self.dialect)
        plain: Any = getattr(super(), "visit_update")  # noqa: B009
        rendered: str = plain(update_stmt, *args, **kw)
        return rendered

    def visit_delete(self, delete_stmt: Any, *args: Any, **kw: Any) -> str:
        """Join no deleted rows in a DELETE … USING."""
        if self._is_living():
            delete_stmt = soft_delete.living_write(delete_stmt, self.dialect)
        plain: Any = getattr(super(), "visit_delete")  # noqa: B009
        rendered: str = plain(delete_stmt, *args, **kw)
        return rendered

    def _is_living(self) -> bool:
        return bool(self.execution_options.get(soft_delete.LIVING))

    def _is_target(self, table: Any) -> bool:
        statement: Any = self.statement
        if not getattr(statement, "is_dml", False):
            return False
        return bool(statement.table.fullname == getattr(table, "fullname", None))


def host_column(binding: Binding, column: Column[Any]) -> str:
    """Return the host's name of a column, or raise FieldNotBound."""
    name = binding.column(column.name)
    if name is None:
        raise FieldNotBound(
            f"The adopted table {binding.table} has no column bound to {column.name!r}.",
            f'Name it in bedplate.toml: columns = {{ {column.name} = "…" }}.',
        )
    return name


def _require_writable(binding: Binding) -> None:
    if not binding.writable:
        raise TableNotWritable(
            f"The table {binding.table} is adopted and read-only here.",
            "Write to it in the host application, or set writable = true in its binding.",
        )


BoundDialect.statement_compiler = BoundCompiler
BoundDialect.preparer = BoundPreparer
