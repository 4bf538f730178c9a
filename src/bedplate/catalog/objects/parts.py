"""What a table or view consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedplate.catalog.objects.grants import Grant
from bedplate.catalog.objects.sequences import SequenceOptions

ConstraintKind = Literal["primary key", "unique", "foreign key", "check", "exclusion"]
Firing = Literal["enabled", "disabled", "replica", "always"]
Command = Literal["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` and `default` are PostgreSQL's own spelling.

    `default` is a generated column's expression too. `collation` is there where it is not the
    type's own; `counter` is how an identity counts. `settings` is what `ALTER COLUMN` sets beyond
    the type's own (`SET STORAGE EXTERNAL`). From PostgreSQL 18 on NOT NULL may not be validated.
    """

    name: str
    type: str
    nullable: bool
    default: str | None
    identity: Literal["", "always", "by default"]
    generated: Literal["", "stored", "virtual"]
    comment: str | None
    collation: str | None = None
    settings: tuple[str, ...] = ()
    not_null_validated: bool = True
    counter: SequenceOptions | None = None
    grants: tuple[Grant, ...] = ()

    @property
    def definition(self) -> str:
        """All but its name and grants, as ADD COLUMN takes it, and then its settings."""
        words = [self.type]
        words += [f"COLLATE {self.collation}"] if self.collation else []
        if self.identity:
            words.append(f"GENERATED {self.identity.upper()} AS IDENTITY")
            words += [f"({self.counter.text})"] if self.counter and self.counter.text else []
        elif self.generated:
            words.append(f"GENERATED ALWAYS AS ({self.default}) {self.generated.upper()}")
        elif self.default is not None:
            words.append(f"DEFAULT {self.default}")
        words += [] if self.nullable else ["NOT NULL"]
        words += [] if self.not_null_validated else ["NOT VALID"]
        return ", ".join((" ".join(words), *self.settings))


@dataclass(frozen=True, slots=True)
class Reference:
    """What a foreign key points at."""

    schema: str
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint; NOT NULL is a column's own affair.

    One that is `inherited` came from the parent table and goes with it.
    """

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...]
    definition: str
    comment: str | None
    inherited: bool
    references: Reference | None


@dataclass(frozen=True, slots=True)
class Index:
    """One index; an entry of `keys` is a column or an expression.

    One that is `inherited` belongs to an index of the partitioned table.
    """

    name: str
    keys: tuple[str, ...]
    unique: bool
    primary: bool
    valid: bool
    predicate: str | None
    definition: str
    comment: str | None = None
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger that somebody created (not those PostgreSQL keeps for foreign keys).

    One that is `inherited` came from the partitioned table.
    """

    name: str
    definition: str
    firing: Firing = "enabled"
    comment: str | None = None
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; that which makes a view a view is the view's definition."""

    name: str
    definition: str
    firing: Firing = "enabled"
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of row-level security; its roles are sorted, PUBLIC for everyone."""

    name: str
    permissive: bool
    command: Command
    roles: tuple[str, ...]
    using: str | None
    check: str | None
    comment: str | None = None

    @property
    def definition(self) -> str:
        """All but its name and table, as CREATE POLICY takes it."""
        words = [f"AS {'PERMISSIVE' if self.permissive else 'RESTRICTIVE'} FOR {self.command}"]
        words.append(f"TO {', '.join(self.roles)}")
        words += [f"USING ({self.using})"] if self.using is not None else []
        words += [f"WITH CHECK ({self.check})"] if self.check is not None else []
        return " ".join(words)
