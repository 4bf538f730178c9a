"""What the house tests look at: every file of ours, read and parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "bedplate"
CODE_FOLDERS = ("src", "tests", "bench")


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SourceFile:
    """One file; `place` is its path from the root of the repository, with forward slashes."""

    path: Path
    text: str

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The dotted name under which Python imports it (for files under src)."""
        parts = list(self.path.relative_to(SOURCE).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_face(self) -> bool:
        return self.path.name == "__init__.py"


@cache
def tree_of(file: SourceFile) -> ast.Module:
    return ast.parse(file.text, filename=file.place)


@cache
def files(*suffixes: str, under: tuple[str, ...] = CODE_FOLDERS) -> tuple[SourceFile, ...]:
    """All files with one of these suffixes, in a fixed order."""
    found = (
        path
        for folder in under
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and path.is_file() and not _is_generated(path)
    )
    return tuple(SourceFile(path, path.read_text(encoding="utf-8")) for path in sorted(found))


def _is_generated(path: Path) -> bool:
    return bool({"__pycache__", "node_modules", ".bedplate"} & set(path.parts))


def python_files(*under: str) -> tuple[SourceFile, ...]:
    return files(".py", under=under or CODE_FOLDERS)


def package_files() -> tuple[SourceFile, ...]:
    """The Python files that are shipped."""
    return files(".py", under=("src",))


def functions(file: SourceFile) -> Iterator[tuple[str, FunctionNode, bool]]:
    """Every function as (dotted name within the file, node, is it a method)."""
    yield from _functions_in(tree_of(file), "", is_method=False)


def _functions_in(
    node: ast.AST, prefix: str, *, is_method: bool
) -> Iterator[tuple[str, FunctionNode, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield prefix + child.name, child, is_method
            yield from _functions_in(child, f"{prefix}{child.name}.", is_method=False)
        elif isinstance(child, ast.ClassDef):
            yield from _functions_in(child, f"{prefix}{child.name}.", is_method=True)
        else:
            yield from _functions_in(child, prefix, is_method=is_method)


def dotted_name(node: ast.expr) -> str:
    """`a.b.c` for a chain of attributes on a name, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted_name(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the nodes that are docstrings: prose, so rules about SQL do not read them."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
    return found
