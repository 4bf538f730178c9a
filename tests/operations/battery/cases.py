"""The whole battery, and which of its alarms are more than needed."""

from __future__ import annotations

from tests.operations.battery.beside import ADDITIONS, ELSEWHERE, OTHER_SESSIONS
from tests.operations.battery.files import FILES, SEQUENCES
from tests.operations.battery.rows import EMPTY_HANDED, RESETS, ROWS
from tests.operations.battery.shape import BEHAVIOUR, SHAPE

CASES = (
    *ROWS,
    *EMPTY_HANDED,
    *FILES,
    *SEQUENCES,
    *SHAPE,
    *BEHAVIOUR,
    *ADDITIONS,
    *ELSEWHERE,
    *OTHER_SESSIONS,
    *RESETS,
)

# What is refused though every row reads as before: it would read otherwise for other rows, for
# others, from now on, or it could have, and nobody can tell from here. Honestly more than needed.
HARMLESS = frozenset(
    {
        *("delete and insert the same", "undone, then done", "no-op update"),
        *("large object made", "update of no row", "delete of no row", "on conflict nothing"),
        *("insert of no row", "a rule that refuses", "explain", "truncate what is empty"),
        *("truncate and insert the same", "volatile default", "another type"),
        *("stored generated column", "identity column", "serial column", "set unlogged"),
        *("set logged", "cluster", "domain with a rule", "refresh", "increment", "owned by"),
        *("wider varchar", "text for varchar", "add label", "rename type", "view column added"),
        *("function of a host", "drop function", "function setting", "function renamed"),
        *("drop expression", "domain loosened", "domain tightened", "domain default"),
        *("composite attribute", "drop not null", "drop check", "drop foreign key", "drop index"),
        *("owner", "storage", "statistics target", "column storage", "replica identity"),
        *("revoke", "extension", "new trigger", "trigger of a host", "drop trigger"),
        *("disable trigger", "disable foreign keys", "row security", "row security off"),
        *("force row security", "new policy", "policy changed", "drop policy", "new rule"),
        *("drop rule", "instead of", "comment of a host", "grant of a host", "index of a host"),
        *("column grant of a host", "column grant in a savepoint"),
        *("rename index", "index storage"),
        *("column of a host", "table in a host", "table in public", "function in a host"),
        *("new schema", "default privileges", "database setting", "publication"),
        *("setting of a role", "setting of a role here", "setting of a role elsewhere"),
        *("setting in a savepoint", "setting of all roles", "membership", "rights of a role"),
        *("new role", "user mapping", "user mapping changed"),
    }
)
