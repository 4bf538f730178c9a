"""The base of every model: ordinary SQLAlchemy declarative classes with typed constructors.

Rows that Bedplate reads are detached instances. What a query did not select is not there, and
reading it raises an error that names the cure; nothing ever loads lazily.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, dataclass_transform

from sqlalchemy import MetaData, event, inspect
from sqlalchemy.orm import (
    DeclarativeBase,
    InstanceState,
    MappedAsDataclass,
    Mapper,
    composite,
    deferred,
    mapped_column,
    relationship,
)

from bedplate.kernel.columns import SoftDeleted, Timestamped, Versioned
from bedplate.kernel.errors import FieldNotLoaded, RelationNotLoaded

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


# Type checkers do not inherit kw_only from a base; told this way, they refuse positional arguments.
@dataclass_transform(
    kw_only_default=True, field_specifiers=(mapped_column, relationship, composite, deferred)
)
class Model(MappedAsDataclass, DeclarativeBase, kw_only=True, repr=False, eq=False):
    """The declarative base of all modules; subclasses get a typed keyword-only constructor."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING_CONVENTION)

    def __repr__(self) -> str:
        """Show the key and nothing else: values may be secret, and reading may load."""
        state: InstanceState[Any] = inspect(self)
        key = state.dict.get("id", "?")
        return f"<{type(self).__name__} id={key}>"


def is_soft_deleted(model: type[Model]) -> bool:
    """Tell whether the model's rows are deleted by marking them."""
    return issubclass(model, SoftDeleted)


def is_timestamped(model: type[Model]) -> bool:
    """Tell whether the model keeps `updated_at`."""
    return issubclass(model, Timestamped)


def is_versioned(model: type[Model]) -> bool:
    """Tell whether the model counts its changes in `version`."""
    return issubclass(model, Versioned)


GUARDED = "bedplate_guarded_by"
"""`Table.info` key that names the column of the user whose row it is."""


def is_guarded(model: type[Model]) -> bool:
    """Tell whether row-level security guards the model's table (see `lines.guard`)."""
    table: Any = mapper_of(model).local_table
    return GUARDED in table.info


def table_name(model: type[Model]) -> str:
    """Return `schema.table` of a model."""
    return mapper_of(model).local_table.fullname  # type: ignore[attr-defined, no-any-return]


def mapper_of(model: type[Any]) -> Mapper[Any]:
    """Return the SQLAlchemy mapper of a model."""
    mapper: Mapper[Any] = inspect(model)
    return mapper


def _refuse_column(state: InstanceState[Any], toload: Any, passive: Any) -> NoReturn:
    fields = ", ".join(sorted(toload))
    name = state.class_.__name__
    raise FieldNotLoaded(
        f"{name} was read without {fields}.",
        "Select the field, read the whole row, or bind a column to it where the table is adopted.",
    )


def _guard_columns(
    state_loader: Callable[..., Any],
) -> Callable[[InstanceState[Any], Any, Any], Any]:
    def load(state: InstanceState[Any], toload: Any, passive: Any) -> Any:
        if state.session_id is None:
            return _refuse_column(state, toload, passive)
        return state_loader(state, toload, passive)

    return load


def _guard_relation(
    owner: str, name: str, loader: Callable[..., Any]
) -> Callable[[InstanceState[Any], Any], Any]:
    def load(state: InstanceState[Any], passive: Any) -> Any:
        if state.session_id is None and state.key is not None:
            raise RelationNotLoaded(
                f"{owner}.{name} was not loaded with its row.",
                f"Add include=({owner}.{name},) to the query or the repository call.",
            )
        return loader(state, passive)

    return load


@event.listens_for(Mapper, "after_configured")
def _explain_what_was_not_loaded() -> None:
    """Make SQLAlchemy's loaders name the cure for instances that belong to no session."""
    for mapper in Model.registry.mappers:
        manager: Any = mapper.class_manager
        if getattr(manager, "bedplate_guarded", False):
            continue
        manager.bedplate_guarded = True
        manager.expired_attribute_loader = _guard_columns(manager.expired_attribute_loader)
        for relation in mapper.relationships:
            implementation: Any = manager[relation.key].impl
            implementation.callable_ = _guard_relation(
                mapper.class_.__name__, relation.key, implementation.callable_
            )
