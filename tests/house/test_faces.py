"""Faces: a package offers exactly what its `__all__` says."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.house.source import SourceFile, package_files, tree_of

FACES = [file for file in package_files() if file.is_face and len(tree_of(file).body) > 1]


def _order(name: str) -> tuple[int, str]:
    # Constants, then classes, then functions: what ruff's RUF022 sorts to.
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _imported(file: SourceFile) -> set[str]:
    return {
        alias.asname or alias.name
        for node in tree_of(file).body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }


@pytest.mark.parametrize("file", FACES, ids=lambda file: file.module)
def test_a_face_is_sorted_complete_and_importable(file: SourceFile) -> None:
    package = importlib.import_module(file.module)
    offered = list(package.__all__)
    assert offered == sorted(set(offered), key=_order), f"sort {file.place}: ruff check --fix"
    assert _imported(file) == set(offered) - {"__version__"}, (
        f"{file.place}: what it imports and what it offers differ"
    )
    for name in offered:
        assert hasattr(package, name), f"{file.place} offers {name}, which is not there"
