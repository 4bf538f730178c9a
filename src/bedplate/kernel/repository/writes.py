"""The writes of a repository: create, create_many, load, update, delete, restore, upsert."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ClauseElement, bindparam, delete, update
from sqlalchemy.orm import InstrumentedAttribute

from bedplate.kernel import clock
from bedplate.kernel.database import Database, Writer
from bedplate.kernel.errors import NotFound, StaleVersion, UsageError
from bedplate.kernel.fields import Assignment, RowKey
from bedplate.kernel.handle import Handle
from bedplate.kernel.inserts import Defaults, Loading, insert_statement
from bedplate.kernel.model import Model, is_guarded, is_soft_deleted, is_timestamped, is_versioned
from bedplate.kernel.plan import Wanted
from bedplate.kernel.query import Query
from bedplate.kernel.repository.reads import Reads

M = TypeVar("M", bound=Model)
Field = InstrumentedAttribute


class Repository(Reads[M]):
    """Typed reads and plain writes of one model; each verb is one statement, one round trip.

    Soft-deleted rows are left out; `with_deleted()` gives a repository that sees them. Subclass it
    only to give named reads a home.
    """

    def __init__(self, model: type[M]) -> None:
        super().__init__(model)
        self._defaults_made: Defaults | None = None

    async def create(self, db: Writer, row: M) -> M:
        """Insert a row; return it as the database stored it, defaults included."""
        values = self._values(db, row)
        keys = tuple(sorted(values))
        query = self._queries.get(("create", keys))
        if query is None:
            made = Query[Any](insert_statement(self._mapper, keys), returns=self.model)
            query = self._keep(self._queries, ("create", keys), made)
        created: M = await db.one(query, **values)
        return created

    async def create_many(self, db: Writer, rows: Iterable[M]) -> int:
        """Insert rows by COPY; all of them or none. Returns how many.

        Rows that set the same fields travel in one COPY.
        """
        groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for row in rows:
            values = self._values(db, row)
            keys = tuple(sorted(values))
            groups.setdefault(keys, []).append(tuple(values[key] for key in keys))
        if len(groups) > 1 and isinstance(db, Database):
            async with db.transaction() as tx:
                return sum([await self._load(tx, keys, some) for keys, some in groups.items()])
        return sum([await self._load(db, keys, some) for keys, some in groups.items()])

    async def load(
        self, db: Writer, fields: tuple[Field[Any], ...], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Insert rows given as tuples of `fields` by one COPY; the fastest way in.

        Ids and defaults are added and every value is checked; nothing is stored when one is wrong.
        Raises FieldInvalid with the row's number. Into a table that row-level security guards the
        rows go by INSERTs sent in one stream, because PostgreSQL refuses COPY there.
        """
        return await self._load(db, tuple(self._own(field) for field in fields), rows)

    async def update(
        self, db: Writer, key: RowKey, *changes: Assignment, version: int | None = None
    ) -> M:
        """Change fields of the row with this key; return the row as it is now.

        With `version` (a Versioned model), a row that moved on raises StaleVersion. Raises
        NotFound where there is no such row.
        """
        if not changes:
            raise UsageError("update() was given nothing to change.", "Pass assign(field, value).")
        values = {self._own(change.field): _sent(change) for change in changes}
        statement = self._changed(db, values).where(self._is(key))
        if version is not None:
            if not is_versioned(self.model):
                raise UsageError(
                    f"{self.model.__name__} has no version to compare.", "Declare it Versioned."
                )
            statement = statement.where(self._column("version") == version)
        rows = await self._rows(db, statement.returning(self.model), (), None)
        if not rows and version is not None:
            raise StaleVersion(f"The {self.model.__name__} is no longer at version {version}.")
        return self._only(rows)

    async def delete(self, db: Writer, key: RowKey, *, hard: bool = False) -> None:
        """Delete the row with this key: marked where the model is SoftDeleted, else removed.

        `hard=True` removes the row itself. Raises NotFound where there is no such row.
        """
        if is_soft_deleted(self.model) and not hard and self._is_ours(db):
            statement: Any = self._changed(db, {"deleted_at": clock.sql_now()})
        else:
            statement = delete(self.model)
        statement = statement.where(self._is(key)).returning(*self._primary())
        self._only(await self._rows(db, statement, (), None))

    async def restore(self, db: Writer, key: RowKey) -> M:
        """Bring a soft-deleted row back; UniqueViolation when its values were taken meanwhile."""
        deleted_at = getattr(self.model, "deleted_at", None)
        if deleted_at is None:
            raise UsageError(f"{self.model.__name__} is not soft-deleted.", "Create it again.")
        statement = self._changed(db, {"deleted_at": None}).where(
            self._is(key), deleted_at.is_not(None)
        )
        prepared, make = db.prepare_adhoc(statement.returning(self.model), Wanted(deleted=True))
        return self._only(await db.fetch(prepared, make))

    async def upsert(self, db: Writer, row: M, *, on: tuple[Any, ...]) -> M:
        """Insert a row, or change the living one that has the same `on` fields. Atomic.

        `on` names a unique rule's fields or expressions. Fields the caller did not set keep their
        value; the key and `created_at` never change.
        """
        given = set(self._given(row))
        values = self._values(db, row)
        keys = tuple(sorted(values))
        statement: Any = insert_statement(self._mapper, keys)
        kept = {field.key for field in self._primary()} | {getattr(part, "key", "") for part in on}
        columns = {key: self._mapper.column_attrs[key].columns[0].name for key in keys}
        changed: dict[str, Any] = {
            columns[key]: statement.excluded[columns[key]] for key in keys if key in given - kept
        }
        if is_timestamped(self.model):
            changed["updated_at"] = clock.sql_now()
        if is_versioned(self.model):
            changed["version"] = statement.table.c.version + 1
        primary = self._mapper.primary_key[0].name
        living = is_soft_deleted(self.model) and set(kept) != {f.key for f in self._primary()}
        statement = statement.on_conflict_do_update(
            index_elements=list(on),
            index_where=self._column("deleted_at").is_(None) if living else None,
            # Changing nothing must still return the row: its key is set to itself.
            set_=changed or {primary: statement.table.c[primary]},
        )
        stored: M = await db.one(Query[Any](statement, returns=self.model), **values)
        return stored

    def _only(self, rows: Sequence[Any]) -> M:
        if not rows:
            raise NotFound(f"No {self.model.__name__} has this key.")
        row: M = rows[0]
        return row

    def _defaults(self) -> Defaults:
        if self._defaults_made is None:
            self._defaults_made = Defaults(self._mapper)
        return self._defaults_made

    def _given(self, row: M) -> dict[str, Any]:
        if not isinstance(row, self.model):
            raise UsageError(
                f"The repository of {self.model.__name__} was given a {type(row).__name__}.",
                f"Pass {self.model.__name__}(…).",
            )
        return {key: value for key, value in row.__dict__.items() if key != "_sa_instance_state"}

    def _values(self, db: Handle, row: M) -> dict[str, Any]:
        values = self._defaults().fill(self._given(row))
        binding = db.dialect.binding_of(self._mapper.local_table)
        if binding is None:
            return values
        given = self._given(row)
        return {key: v for key, v in values.items() if key in given or binding.column(key)}

    async def _load(self, db: Writer, keys: tuple[str, ...], rows: Iterable[Sequence[Any]]) -> int:
        loading = Loading(self._mapper, self._defaults(), keys, db.dialect)
        if not is_guarded(self.model):
            return await db.copy(loading.sql, loading.rows(rows))
        if isinstance(db, Database):
            async with db.transaction() as tx:
                return await self._load(tx, keys, rows)
        sql, ordered = loading.insert()
        return await db.many(sql, (ordered(row) for row in loading.rows(rows)))

    def _changed(self, db: Handle, values: dict[str, Any]) -> Any:
        if is_timestamped(self.model) and "updated_at" not in values and self._is_ours(db):
            values["updated_at"] = clock.sql_now()
        if is_versioned(self.model) and "version" not in values:
            values["version"] = self._column("version") + 1
        return update(self.model).values(values)

    def _is_ours(self, db: Handle) -> bool:
        return db.dialect.binding_of(self._mapper.local_table) is None


def _sent(change: Assignment) -> Any:
    """Return SQL as it is, and a value under its field's name and type."""
    if hasattr(change.value, "__clause_element__") or isinstance(change.value, ClauseElement):
        return change.value
    return bindparam(change.field.key, change.value, type_=change.field.type, unique=True)
