"""A Query: a statement declared once, compiled once per project, run many times.

`BY_EMAIL = Query(select(User).where(User.email == bindparam("email")))` costs nothing until it is
first run; from then on running it is `sql + params` on a pooled connection. A statement that is
built at the moment of use goes through `adhoc`, which keeps what it compiled by SQLAlchemy's own
cache key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, TypeVarTuple, overload

from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import TypedReturnsRows

from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.plan import PLAIN, Plan, Wanted, compile_plan, returning
from bedplate.kernel.relations import Included

R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
Ts = TypeVarTuple("Ts")

ADHOC_PLANS_MAX = 500
"""How many ad-hoc statements one project keeps compiled; the oldest is forgotten first."""


class Query(Generic[R]):
    """A declared statement whose rows are `R`: one thing selected is that thing, several a tuple.

    Rows of soft-deleted tables are left out unless `deleted=True`. `include` names relations to
    read in the same statement; it needs a select of exactly one model. `writes=True` says that a
    SELECT of a function changes rows, so that on `db`, too, the function knows who is acting.
    """

    __slots__ = ("__weakref__", "_last", "deleted", "include", "returns", "statement", "writes")

    @overload
    def __init__(
        self: Query[A],
        statement: TypedReturnsRows[A],
        *,
        include: tuple[Included, ...] = (),
        deleted: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: Query[tuple[A, B, *Ts]],
        statement: TypedReturnsRows[A, B, *Ts],
        *,
        include: tuple[Included, ...] = (),
        deleted: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: Query[A], statement: UpdateBase, *, deleted: bool = False, returns: type[A]
    ) -> None: ...
    @overload
    def __init__(
        self: Query[Any], statement: Executable, *, deleted: bool = False, writes: bool = False
    ) -> None: ...
    def __init__(
        self,
        statement: Any,
        *,
        include: tuple[Included, ...] = (),
        deleted: bool = False,
        returns: type[Any] | None = None,
        writes: bool = False,
    ) -> None:
        self.statement: Executable = statement
        self.include = include
        self.deleted = deleted
        self.returns = returns
        self.writes = writes
        self._last: tuple[BoundDialect, Plan] | None = None

    def plan(self, dialect: BoundDialect) -> Plan:
        """Return the statement compiled for a project; compiled at the first call for each."""
        last = self._last
        if last is not None and last[0] is dialect:
            return last[1]
        plan = dialect.plans.get(self)
        if plan is None:
            statement: Any = self.statement
            if self.returns is not None:
                statement = returning(statement, self.returns, dialect)
            wanted = Wanted(self.include, self.deleted, self.returns, self.writes)
            plan = compile_plan(statement, dialect, wanted)
            dialect.plans[self] = plan
        self._last = (dialect, plan)
        return plan


def adhoc(
    statement: Any, dialect: BoundDialect, wanted: Wanted = PLAIN
) -> tuple[Plan, Mapping[str, Any]]:
    """Return the plan of a statement built on the spot, and the values it carries.

    Statements of one shape share a plan. Raises what compiling them raises.
    """
    cache_key = statement._generate_cache_key()
    if cache_key is None:
        plan = compile_plan(statement, dialect, wanted)
        return plan, plan.compiled.params

    def compiled() -> Plan:
        return compile_plan(statement, dialect, wanted, cache_key=cache_key)

    plan = kept((cache_key.key, wanted), dialect, compiled)
    return plan, plan.carried(cache_key.bindparams)


def kept(key: Any, dialect: BoundDialect, compiled: Callable[[], Plan]) -> Plan:
    """Return the plan kept under a key for this project; compiled at the first call."""
    plans: dict[Any, Plan] = dialect.adhoc_plans
    plan = plans.get(key)
    if plan is None:
        plan = compiled()
        if len(plans) >= ADHOC_PLANS_MAX:
            plans.pop(next(iter(plans)), None)
        plans[key] = plan
    return plan
