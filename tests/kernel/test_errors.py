"""The tree of errors: drawn as it is, each with a stable code and a next step."""

from __future__ import annotations

import re

import pytest

from bedplate.kernel import errors
from bedplate.kernel.errors import BedplateError


def tree(root: type[BedplateError] = BedplateError) -> dict[str, str]:
    """Each error of ours and the one it is a kind of."""
    found: dict[str, str] = {}
    for child in root.__subclasses__():
        if child.__module__.startswith("bedplate.kernel.errors"):
            found |= {child.__name__: root.__name__, **tree(child)}
    return found


def drawn() -> dict[str, str]:
    """The same, as the docstring draws it."""
    parents = ["BedplateError"]
    found: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        hit = re.match(r"    ((?:[│ ]   )*)[├└]── (\w+)", line)
        if hit:
            depth = len(hit[1]) // 4 + 1
            found[hit[2]] = parents[depth - 1]
            parents[depth:] = [hit[2]]
    return found


def classes() -> list[type[BedplateError]]:
    return [BedplateError, *(getattr(errors, name) for name in tree())]


def test_the_drawing_is_the_tree() -> None:
    assert drawn() == tree()


def test_the_face_offers_every_error() -> None:
    assert set(errors.__all__) == {"BedplateError", *tree()}


def test_codes_are_stable_words_and_no_two_are_alike() -> None:
    codes = [each.code for each in classes()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
    assert errors.UniqueViolation.code == "unique_violation"
    assert errors.CursorInvalid.code == "cursor_invalid"


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_the_message_ends_with_what_to_do_next(kind: type[BedplateError]) -> None:
    told = kind("What happened.", "Do this.")
    assert (str(told), told.message, told.next_step) == (
        "What happened. Do this.",
        "What happened.",
        "Do this.",
    )
    plain = kind("What happened.")
    assert str(plain) == f"What happened. {kind.advice}".rstrip()


@pytest.mark.parametrize(
    "kind",
    [kind for kind in classes() if issubclass(kind, errors.DatabaseError)],
    ids=lambda kind: kind.__name__,
)
def test_what_postgresql_refuses_always_has_a_next_step(kind: type[BedplateError]) -> None:
    """Nobody who raises these could give one: they are made from a SQLSTATE alone."""
    assert kind.advice.endswith(".")


def test_every_error_says_what_it_is() -> None:
    assert all((each.__doc__ or "").strip() for each in classes())
