"""Imports: what import-linter's contracts (pyproject.toml) cannot say about who knows whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.house.exceptions import hold
from tests.house.source import SourceFile, functions, package_files, python_files, tree_of

# Packages whose files may be imported one by one from outside; every other has a face.
OPEN = {"bedplate", "bedplate.kernel", "bedplate.modules", "bedplate.operations"}
# An integration needs its framework installed, so no face may import them all.
OPEN |= {"bedplate.integrations"}


@cache
def _modules() -> dict[str, SourceFile]:
    return {file.module: file for file in package_files()}


def test_no_import_inside_a_function() -> None:
    offenders = {
        f"{file.place}::{name}": f"imports at line {inner.lineno}"
        for file in python_files("src", "bench")
        for name, node, _ in functions(file)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    hold(
        "imports-inside-functions",
        offenders,
        why="it hides who depends on whom, and is how cycles are papered over",
    )


def test_no_import_cycle() -> None:
    graph = {
        name: {target for target, _ in _runtime_imports(file) if target != name}
        for name, file in _modules().items()
    }
    hold(
        "import-cycles",
        {" -> ".join(cycle): "a cycle" for cycle in cycles(graph)},
        why="files in a cycle cannot be understood, tested or moved one at a time",
    )


def test_other_packages_are_reached_through_their_face() -> None:
    offenders: dict[str, str] = {}
    for name, file in _modules().items():
        for target, line in _imports(file):
            fence = _closed_package(target, of=name)
            if fence:
                offenders[f"{file.place}:{line}"] = f"reaches {target} behind {fence}'s face"
    hold(
        "faces-only",
        offenders,
        why="behind a face, files may be cut and renamed without asking anybody",
    )


def test_a_module_imports_only_modules_it_requires() -> None:
    offenders: dict[str, str] = {}
    for name, file in _modules().items():
        parts = name.split(".")
        if parts[:2] != ["bedplate", "modules"] or len(parts) < 3:
            continue
        for target, line in _imports(file):
            other = target.split(".")[2:3] if target.startswith("bedplate.modules.") else []
            if parts[3:] == ["bridges", *other]:
                continue
            if other and other != parts[2:3] and other[0] not in _required_by(parts[2]):
                offenders[f"{file.place}:{line}"] = f"imports {other[0]}, which it does not require"
    hold(
        "module-requires",
        offenders,
        why="a module bolts on alone; what happens only with another is in bridges/<other>.py",
    )


def _required_by(module: str) -> set[str]:
    manifest = _modules().get(f"bedplate.modules.{module}.module")
    if manifest is None:
        return set()
    return {
        element.value
        for node in ast.walk(tree_of(manifest))
        if isinstance(node, ast.keyword) and node.arg == "requires"
        for element in ast.walk(node.value)
        if isinstance(element, ast.Constant) and isinstance(element.value, str)
    }


def _closed_package(target: str, *, of: str) -> str:
    """The outermost package with a face that stands between `of` and `target`, if any."""
    parts = target.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if package not in OPEN and f"{of}.".startswith(f"{package}."):
            continue
        if package not in OPEN:
            return package
    return ""


def _imports(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Our own modules that a file imports, those for type checkers too, with the line."""
    for node in ast.walk(tree_of(file)):
        yield from _targets(node, file)


def _runtime_imports(file: SourceFile) -> Iterator[tuple[str, int]]:
    """The same without what stands under `if TYPE_CHECKING:`."""
    skipped = {
        id(inner)
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree_of(file)):
        if id(node) not in skipped:
            yield from _targets(node, file)


def _targets(node: ast.AST, file: SourceFile) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in _modules():
                yield alias.name, node.lineno
    if isinstance(node, ast.ImportFrom):
        origin = _absolute(node, file)
        for alias in node.names:
            inner = f"{origin}.{alias.name}"
            # A name that the face itself offers wins over a file of the same name behind it.
            target = origin if inner not in _modules() or _offers(origin, alias.name) else inner
            if target in _modules():
                yield target, node.lineno


def _offers(face: str, name: str) -> bool:
    file = _modules().get(face)
    return file is not None and any(
        (alias.asname or alias.name) == name
        for node in tree_of(file).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def _absolute(node: ast.ImportFrom, file: SourceFile) -> str:
    if not node.level:
        return node.module or ""
    package = file.module.split(".") + ([""] if file.is_face else [])
    origin = package[: len(package) - node.level]
    return ".".join([*origin, *([node.module] if node.module else [])])


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every module that can reach itself, as the path it takes; each cycle once."""
    found: dict[frozenset[str], list[str]] = {}
    for start in sorted(graph):
        path = _path_back(graph, start)
        if path:
            found.setdefault(frozenset(path), path)
    return list(found.values())


def _path_back(graph: dict[str, set[str]], start: str) -> list[str]:
    queue = [[start]]
    seen: set[str] = set()
    while queue:
        path = queue.pop(0)
        for target in sorted(graph.get(path[-1], ())):
            if target == start:
                return [*path, start]
            if target not in seen:
                seen.add(target)
                queue.append([*path, target])
    return []
