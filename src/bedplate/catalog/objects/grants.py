"""Who may do what with an object."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges that one role has beyond, or (`revoked`) short of, what PostgreSQL gives unasked.

    `role` is PUBLIC for everyone. The owner's own rights are there unasked, and so are everyone's
    to run a function or use a type.
    """

    role: str
    privileges: tuple[str, ...]
    grantable: bool
    revoked: bool

    @property
    def text(self) -> str:
        """`GRANT SELECT TO app`, without the object."""
        names = ", ".join(self.privileges)
        if self.revoked:
            return f"REVOKE {names} FROM {self.role}"
        return f"GRANT {names} TO {self.role}" + (" WITH GRANT OPTION" if self.grantable else "")


@dataclass(frozen=True, slots=True)
class DefaultPrivileges:
    """What a role's new objects of one sort are granted as; in one schema, or (None) in any."""

    role: str
    schema: str | None
    sort: str
    grants: tuple[Grant, ...]
