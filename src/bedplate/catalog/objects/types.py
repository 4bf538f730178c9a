"""Types that somebody made."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.catalog.objects.grants import Grant


@dataclass(frozen=True, slots=True)
class EnumType:
    """One enum type; its labels in the order in which they sort."""

    name: str
    labels: tuple[str, ...]
    comment: str | None
    owner: str
    grants: tuple[Grant, ...] = ()

    @property
    def definition(self) -> str:
        """`ENUM ('SMALL', 'LARGE')`."""
        labels = ", ".join("'" + label.replace("'", "''") + "'" for label in self.labels)
        return f"ENUM ({labels})"


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """One CHECK of a domain."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: a type with rules; its collation where that is not the type's own."""

    name: str
    type: str
    collation: str | None
    nullable: bool
    default: str | None
    comment: str | None
    owner: str
    checks: tuple[DomainCheck, ...] = ()
    grants: tuple[Grant, ...] = ()

    @property
    def definition(self) -> str:
        """All but its name and grants, as CREATE DOMAIN takes it."""
        words = [f"AS {self.type}"]
        words += [f"COLLATE {self.collation}"] if self.collation else []
        words += [f"DEFAULT {self.default}"] if self.default is not None else []
        words += [] if self.nullable else ["NOT NULL"]
        words += [f"CONSTRAINT {check.name} {check.definition}" for check in self.checks]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a composite type."""

    name: str
    type: str
    collation: str | None


@dataclass(frozen=True, slots=True)
class CompositeType:
    """One composite type; a table's own row type is not listed."""

    name: str
    comment: str | None
    owner: str
    attributes: tuple[Attribute, ...] = ()
    grants: tuple[Grant, ...] = ()

    @property
    def definition(self) -> str:
        """Its fields, in the order that counts when a value is written."""
        fields = (
            f"{each.name} {each.type}" + (f" COLLATE {each.collation}" if each.collation else "")
            for each in self.attributes
        )
        return f"({', '.join(fields)})"
