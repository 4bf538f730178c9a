"""Guards taken away one at a time, so that a test sees what each is there for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from bedplate.testing import Clone
from tests.asking import as_owner, ask

S = TypeVar("S")

# Kept by the session, so that whoever came is still counted where its transaction was undone.
MEET = """
    PERFORM pg_catalog.pg_advisory_lock_shared(815);
    FOR nth IN 1..2000 LOOP
        EXIT WHEN (
            SELECT count(*) FROM pg_catalog.pg_locks
            WHERE locktype = 'advisory' AND objid = 815 AND database = (
                SELECT oid FROM pg_catalog.pg_database
                WHERE datname = pg_catalog.current_database())
        ) > 1;
        PERFORM pg_catalog.pg_sleep(0.01);
    END LOOP;
"""


@dataclass(frozen=True)
class Guard(Generic[S]):
    """What is taken away: a statement, or a part of a function; and what then breaks."""

    scenario: S
    seen: str
    statement: str = ""
    function: str = ""
    part: str = ""
    instead: str = ""
    slower: str = ""
    """After what in the function two wait for one another, so that the race is sure to be lost."""

    def take_away(self, clone: Clone, schema: str) -> None:
        """Run the statement; then make the schema's function anew, without the part."""
        changed = ""
        if self.function:
            changed = without(clone, f"{schema}.{self.function}", self.part, self.instead)
        if self.slower:
            assert self.slower in changed
            changed = changed.replace(self.slower, f"{self.slower} {MEET}")
        as_owner(clone, f"{self.statement};{changed}")


def without(clone: Clone, function: str, part: str, instead: str = "") -> str:
    """A function's definition, in which something else stands instead of a part."""
    ((text,),) = ask(clone, "SELECT pg_get_functiondef(%s::regproc)", function)
    assert part in text
    return str(text).replace(part, instead)
