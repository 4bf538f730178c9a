"""The battery: statements, hostile and benign, with the verdicts that each must get."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One revision of module `shop` that declares nothing.

    `expected` are the verdicts, exactly. `meanwhile` is what another session does and commits
    before the second reading. Most run as the owner, who is no superuser.
    """

    name: str
    statements: str
    expected: frozenset[str]
    meanwhile: str = ""
    superuser: bool = False
    major: int = 0
    extension: str = ""


def case(name: str, statements: str, *expected: str, **more: object) -> Case:
    return Case(name, statements, frozenset(expected), **more)  # type: ignore[arg-type]
