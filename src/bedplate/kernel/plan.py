"""A Plan: a statement compiled for one project, with the way in and the way out.

The way in checks and converts each parameter by its column's type. The way out is the row maker
that `rows` and `relations` build from what was selected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause, Select, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.compiler import Linting

from bedplate.kernel import soft_delete
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import FieldUnknown, UsageError
from bedplate.kernel.pool import Write
from bedplate.kernel.relations import Included, bound_attributes, lateral, result_process
from bedplate.kernel.rows import (
    Make,
    composed,
    instance_maker,
    optional_maker,
    plain_tuple_maker,
    relation_setter,
    scalar_maker,
    tuple_maker,
)
from bedplate.kernel.values import Convert, converter, require_several

_WRITE = re.compile(
    r"\s*(WITH\b.*\b)?(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE)\b",
    re.IGNORECASE | re.DOTALL,
)


class Plan:
    """One compiled statement: its SQL, how its parameters go in and how its rows come out."""

    __slots__ = ("_kind", "_slots", "compiled", "expanding", "make", "names", "sql")

    def __init__(
        self, compiled: Any, dialect: BoundDialect, make: Make, *, writes: bool = False
    ) -> None:
        self.compiled = compiled
        self.make = make
        self._kind = Write if writes or _WRITE.match(compiled.string) else bytes
        self.sql = self._kind(compiled.string.encode())
        self.expanding = bool(compiled.post_compile_params)
        self._slots = tuple(
            (name, compiled.binds[name], _convert(compiled, name, dialect))
            for name in compiled.positiontup or ()
        )
        self.names = frozenset(name for name, bind, _ in self._slots if bind.required)

    @property
    def order(self) -> tuple[str, ...]:
        """The parameters' names in the order in which they are sent."""
        return tuple(name for name, *_ in self._slots)

    def bind(self, given: Mapping[str, Any]) -> tuple[bytes, list[Any]]:
        """Return the SQL and the values to send; `given` holds every named parameter.

        Raises FieldUnknown for a missing or unknown name, FieldInvalid for a wrong value.
        """
        if self.expanding:
            return self._bind_expanding(given)
        values: list[Any] = []
        used = 0
        for name, bind, convert in self._slots:
            if name in given:
                value = given[name]
                used += 1
            elif bind.required:
                raise self._mismatch(given)
            else:
                value = bind.effective_value
            values.append(value if value is None else convert(value))
        if used < len(given) and not self.compiled.binds.keys() >= given.keys():
            raise self._mismatch(given)
        return self.sql, values

    def _bind_expanding(self, given: Mapping[str, Any]) -> tuple[bytes, list[Any]]:
        """Write out an IN (…) for as many values as were given."""
        values: dict[str, Any] = {}
        if not self.compiled.binds.keys() >= given.keys():
            raise self._mismatch(given)
        for name, bind, convert in self._slots:
            if name not in given and bind.required:
                raise self._mismatch(given)
            value = given.get(name, bind.effective_value)
            if bind.expanding:
                require_several(value, bind._orig_key or bind.key)
                values[name] = [item if item is None else convert(item) for item in value]
            else:
                values[name] = value if value is None else convert(value)
        state = self.compiled._process_parameters_for_postcompile(values)
        parameters = {**values, **state.additional_parameters}
        sql = self._kind(state.statement.encode())
        return sql, [parameters[name] for name in state.positiontup]

    def carried(self, bindparams: Any) -> Mapping[str, Any]:
        """Return the values of a statement of the same shape as the one compiled."""
        params: Mapping[str, Any] = self.compiled.construct_params(
            extracted_parameters=bindparams, _check=False
        )
        return params

    def _mismatch(self, given: Mapping[str, Any]) -> FieldUnknown:
        return FieldUnknown(
            f"The query takes {_listed(self.names)}; it was given {_listed(given)}.",
            "Pass each of its parameters by name.",
        )


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _convert(compiled: Any, name: str, dialect: BoundDialect) -> Convert:
    bind = compiled.binds[name]
    place = bind._orig_key or bind.key
    statement = compiled.statement
    if getattr(statement, "is_dml", False):
        place = f"{statement.table.name}.{place}"
    return converter(bind.type, dialect, place)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a statement's rows are to bring along, beside what it selects.

    `writes` says that a SELECT changes rows all the same, by a function.
    """

    include: tuple[Included, ...] = ()
    deleted: bool = False
    returns: type[Any] | None = None
    writes: bool = False


_LINTING = Linting.COLLECT_CARTESIAN_PRODUCTS

PLAIN = Wanted()
"""Nothing beside the rows themselves; soft-deleted ones left out."""


def compile_plan(
    statement: Any, dialect: BoundDialect, wanted: Wanted, *, cache_key: Any = None
) -> Plan:
    """Compile a statement for a project; `cache_key` lets its values be exchanged later."""
    include = wanted.include
    selected = _descriptions(statement) if wanted.returns is None else [_Selected(wanted.returns)]
    if include and (len(selected) != 1 or selected[0].mapper is None):
        raise UsageError("include= needs a query of exactly one model.", "Select the model alone.")
    if wanted.returns is None and any(part.mapper is not None for part in selected):
        columns = [column for part in selected for column in part.columns(dialect)]
        statement = _with_columns(statement, columns)
    relations = [lateral(selected[0].entity, one, dialect) for one in include]
    if relations:
        statement = statement.add_columns(*(relation.column for relation in relations))
    if not wanted.deleted:
        statement = soft_delete.living(statement, dialect)
    compiled = statement.compile(dialect=dialect, cache_key=cache_key, linting=_LINTING)
    _refuse_cross_product(compiled)
    if relations:
        mapper: Mapper[Any] = selected[0].mapper
        parts = [selected[0].part(dialect), *((1, relation.make) for relation in relations)]
        setters = [relation_setter(mapper, relation.key) for relation in relations]
        return Plan(compiled, dialect, composed(parts, setters))
    make = _maker(selected, compiled, dialect)
    return Plan(compiled, dialect, make, writes=wanted.writes)


def _refuse_cross_product(compiled: Any) -> None:
    """Refuse a condition on a model that nothing joins: it would multiply the rows."""
    # A statement without FROM has nothing to lint, and then no such attribute.
    linter: Any = getattr(compiled, "from_linter", None)
    if linter is None:
        return
    apart, start = linter.lint()
    if apart:
        names = ", ".join(sorted(linter.froms[one] for one in {*apart, start}))
        raise UsageError(
            f"The query reads {names} with nothing that joins them.",
            "Join them, with sqlalchemy.true() where every pair is wanted.",
        )


def returning(statement: Any, model: type[Any], dialect: BoundDialect) -> Any:
    """Add RETURNING of a model's columns to a statement on its bare table."""
    mapper: Mapper[Any] = inspect(model)
    names = [mapper.column_attrs[key].columns[0].name for key in bound_attributes(mapper, dialect)]
    return statement.returning(*(statement.table.c[name] for name in names))


class _Selected:
    """One thing a statement returns: a model (or alias of one), or a column."""

    def __init__(self, expression: Any) -> None:
        annotations: Mapping[str, Any] = getattr(expression, "_annotations", {})
        if "parententity" in annotations and _is_table(expression):
            # RETURNING keeps the model's table, marked with the mapper it stands for.
            expression = annotations["parententity"].entity
        look: Any = inspect
        info: Any = look(expression, raiseerr=False)
        is_entity = getattr(info, "is_mapper", False) or getattr(info, "is_aliased_class", False)
        self.entity: Any = expression
        self.mapper: Any = info.mapper if is_entity else None
        self.type: Any = getattr(expression, "type", None)

    def columns(self, dialect: BoundDialect) -> list[Any]:
        """Return the columns to select for it."""
        if self.mapper is None:
            return [self.entity]
        return [getattr(self.entity, key) for key in bound_attributes(self.mapper, dialect)]

    def part(self, dialect: BoundDialect) -> tuple[int, Make]:
        """Return how many values it takes of a row, and their maker."""
        if self.mapper is None:
            return 1, scalar_maker(result_process(self.type, dialect))
        keys = bound_attributes(self.mapper, dialect)
        types = {key: self.mapper.column_attrs[key].columns[0].type for key in keys}
        processes = [
            (key, process)
            for key, type_ in types.items()
            if (process := result_process(type_, dialect)) is not None
        ]
        return len(keys), instance_maker(self.mapper, keys, processes)

    def optional_part(self, dialect: BoundDialect) -> tuple[int, Make]:
        """Return the same for a row in which an outer join may have found nothing: None then."""
        width, make = self.part(dialect)
        if self.mapper is None:
            return width, make
        keys = bound_attributes(self.mapper, dialect)
        primary = self.mapper.get_property_by_column(self.mapper.primary_key[0]).key
        return width, optional_maker(make, keys.index(primary))


def _is_table(expression: object) -> bool:
    return isinstance(expression, FromClause)


def _descriptions(statement: Any) -> list[_Selected]:
    returning: Any = getattr(statement, "_returning", ())
    if getattr(statement, "is_dml", False):
        return [_Selected(item) for item in returning]
    if isinstance(statement, Select):
        described: Any = statement.column_descriptions
        return [_Selected(item["expr"]) for item in described]
    return []


def _with_columns(statement: Any, columns: list[Any]) -> Any:
    if not getattr(statement, "is_dml", False):
        return statement.with_only_columns(*columns, maintain_column_froms=True)
    statement = statement._generate()
    statement._returning = ()
    return statement.returning(*columns)


def _maker(selected: list[_Selected], compiled: Any, dialect: BoundDialect) -> Make:
    if not selected:
        # Text and compound selects: what SQLAlchemy knows of their columns, or nothing.
        types = [entry.type for entry in compiled._result_columns]
        if len(types) == 1:
            return scalar_maker(result_process(types[0], dialect))
        return plain_tuple_maker([result_process(type_, dialect) for type_ in types])
    if len(selected) == 1:
        return selected[0].part(dialect)[1]
    if all(part.mapper is None for part in selected):
        return plain_tuple_maker([result_process(part.type, dialect) for part in selected])
    return tuple_maker([part.optional_part(dialect) for part in selected])
