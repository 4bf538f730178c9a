"""Comments and grants, which come and go with what they are on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bedplate.catalog import Grant
from bedplate.operations.migrate.draft.element import Element, Key
from bedplate.operations.migrate.draft.names import literal, quoted


def notes(
    on: Key, place: str, comment: str | None, grants: Sequence[Grant] = ()
) -> Iterator[Element]:
    """Return an object's comment and its grants; `place` as COMMENT ON takes it."""
    kind, name = on
    about = f"{kind} {name}"
    if comment is not None:
        yield Element(
            kind="comment",
            name=about,
            definition=comment,
            create=(f"COMMENT ON {place} IS {literal(comment)}",),
            drop=(f"COMMENT ON {place} IS NULL",),
            owner=on,
        )
    if grants:
        yield grant(on, _grantable(place), grants)


def grant(on: Key, place: str, grants: Sequence[Grant], column: str | None = None) -> Element:
    """Return the grants on an object, or on one of its columns; `place` as GRANT ON takes it."""
    return Element(
        kind="grant",
        name=f"{on[0]} {on[1]}",
        definition=", ".join(each.text for each in grants),
        create=tuple(_said(each, place, column, take=each.revoked) for each in grants),
        drop=tuple(_said(each, place, column, take=not each.revoked) for each in grants),
        owner=on,
    )


def _said(grant: Grant, place: str, column: str | None, *, take: bool) -> str:
    of = f" ({quoted(column)})" if column is not None else ""
    privileges = ", ".join(f"{each}{of}" for each in grant.privileges)
    role = grant.role if grant.role == "PUBLIC" else quoted(grant.role)
    if take:
        return f"REVOKE {privileges} ON {place} FROM {role}"
    option = " WITH GRANT OPTION" if grant.grantable else ""
    return f"GRANT {privileges} ON {place} TO {role}{option}"


def _grantable(place: str) -> str:
    """COMMENT ON tells tables from views, GRANT does not."""
    for kind in ("MATERIALIZED VIEW ", "FOREIGN TABLE ", "VIEW "):
        if place.startswith(kind):
            return place.removeprefix(kind)
    return place
