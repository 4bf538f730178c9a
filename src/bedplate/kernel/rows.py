"""From the driver's values to instances of models, without a Session.

A `Shape` is built once for each compiled statement: which values make up which entity, relation or
plain column, and what each still needs (enum members, money). Reading a row is then one
`new_instance` and one dict update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Mapper, attributes
from sqlalchemy.orm.base import DEFAULT_STATE_ATTR

Make = Callable[[Sequence[Any]], Any]
"""From one row of values to what the caller gets."""

Process = Callable[[Any], Any]
"""From a driver's value to the field's value."""


def instance_maker(
    mapper: Mapper[Any], keys: Sequence[str], processes: Sequence[tuple[str, Process]]
) -> Make:
    """Return a function that builds detached instances of `mapper` from values in `keys` order.

    `processes` names the fields whose values the driver does not deliver ready.
    """
    manager: Any = mapper.class_manager
    new_state: Callable[..., Any] = manager._state_constructor
    class_: Any = mapper.class_
    new: Callable[[Any], Any] = class_.__new__
    identity = _identity_of(mapper)
    fields = tuple(keys)
    absent = frozenset(mapper.column_attrs.keys()) - set(fields)
    todo = tuple(processes)

    # Runs once for every row read: what can be looked up beforehand, is.
    def make(values: Sequence[Any]) -> Any:
        instance = new(class_)
        state = new_state(instance, manager)
        loaded = instance.__dict__
        loaded[DEFAULT_STATE_ATTR] = state
        loaded.update(zip(fields, values))  # noqa: B905  A plan selects as many values.
        for key, process in todo:
            loaded[key] = process(loaded[key])
        # A key makes the instance "detached" to SQLAlchemy: merge() and inspect() know the row.
        state.key = identity(loaded)
        if absent:
            state.expired_attributes.update(absent)
        return instance

    return make


def _identity_of(mapper: Mapper[Any]) -> Callable[[dict[str, Any]], Any]:
    class_ = mapper.class_
    keys = tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
    if len(keys) == 1:
        only = keys[0]
        return lambda loaded: (class_, (loaded.get(only),), None)
    return lambda loaded: (class_, tuple(loaded.get(key) for key in keys), None)


def optional_maker(make: Make, key_position: int) -> Make:
    """Return a maker that answers None for a row whose key is NULL, which no stored row has."""

    def make_optional(values: Sequence[Any]) -> Any:
        return None if values[key_position] is None else make(values)

    return make_optional


def relation_setter(mapper: Mapper[Any], key: str) -> Callable[[Any, Any], None]:
    """Return a function that stores a loaded relation on an instance of `mapper`."""
    if mapper.relationships[key].uselist:
        # A collection needs SQLAlchemy's adapter, or Session.merge() could not walk it.
        return lambda instance, rows: attributes.set_committed_value(instance, key, rows)

    def set_one(instance: Any, row: Any) -> None:
        instance.__dict__[key] = row

    return set_one


def composed(
    parts: Sequence[tuple[int, Make]], setters: Sequence[Callable[[Any, Any], None]]
) -> Make:
    """Return a maker of one entity whose relations follow it in the row.

    `parts` are (width, make): first the entity, then one JSON value for each of `setters`.
    """
    width, make_entity = parts[0]
    relations = tuple(
        (width + index, make, setter)
        for index, ((_, make), setter) in enumerate(zip(parts[1:], setters, strict=True))
    )

    def make_with_relations(values: Sequence[Any]) -> Any:
        entity = make_entity(values[:width])
        for position, make_relation, set_relation in relations:
            set_relation(entity, make_relation(values[position]))
        return entity

    return make_with_relations


def tuple_maker(parts: Sequence[tuple[int, Make]]) -> Make:
    """Return a maker of tuples whose members are made from consecutive runs of values."""
    runs: list[tuple[int, int, Make]] = []
    start = 0
    for width, make in parts:
        runs.append((start, start + width, make))
        start += width

    def make_tuple(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([make_part(values[first:last]) for first, last, make_part in runs])

    return make_tuple


def scalar_maker(process: Process | None) -> Make:
    """Return a maker of the single value of a one-column run."""
    if process is None:
        return _first
    return lambda values: process(values[0])


def plain_tuple_maker(processes: Sequence[Process | None]) -> Make:
    """Return a maker of tuples of plain columns; as fast as `tuple` where nothing is to do."""
    if not any(processes):
        return tuple
    todo = tuple((index, process) for index, process in enumerate(processes) if process)

    def make_processed(values: Sequence[Any]) -> tuple[Any, ...]:
        row = list(values)
        for index, process in todo:
            row[index] = process(row[index])
        return tuple(row)

    return make_processed


def _first(values: Sequence[Any]) -> Any:
    return values[0]
