"""Names: a reader finds any line by the name of its file."""

from __future__ import annotations

import ast

from tests.house.exceptions import hold
from tests.house.source import PACKAGE, ROOT, package_files, python_files, tree_of

FORBIDDEN = {"utils", "helpers", "common", "misc", "base", "core", "manager", "service"}
FORBIDDEN |= {"util", "helper", "managers", "services"}

MODULE_COMPULSORY = {"__init__.py", "module.py", "models.py", "actions.py", "migrations"}
MODULE_COMPULSORY |= {"README.md"}
MODULE_OPTIONAL = {"repositories", "rules", "errors", "events", "settings", "checks", "jobs"}
MODULE_OPTIONAL |= {"samples", "bridges", "document"}
# Any of these names may be a file or, past 400 lines, a folder of the same name.
MODULE_FOLDERS_OF_FILES = {"models", "actions"} | MODULE_OPTIONAL


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    offenders = {
        file.place: f"named {part!r}"
        for file in python_files()
        for part in (*file.path.relative_to(ROOT).with_suffix("").parts,)
        if part.lstrip("_") in FORBIDDEN
    }
    hold(
        "forbidden-names",
        offenders,
        why="a drawer without a name collects everything: name the file for its noun or verb",
    )


def test_a_module_is_a_closed_set_of_names() -> None:
    offenders: dict[str, str] = {}
    for module in sorted((PACKAGE / "modules").glob("*/")):
        if not (module / "__init__.py").exists():
            continue
        names = {path.name for path in module.iterdir() if path.name != "__pycache__"}
        place = module.relative_to(ROOT).as_posix()
        known = MODULE_COMPULSORY | MODULE_FOLDERS_OF_FILES
        known |= {f"{name}.py" for name in MODULE_FOLDERS_OF_FILES - {"bridges"}}
        for name in sorted(names - known):
            offenders[f"{place}/{name}"] = "not one of a module's names (design: the house)"
        has = names | {f"{name}.py" for name in names & MODULE_FOLDERS_OF_FILES}
        for name in sorted(MODULE_COMPULSORY - has):
            offenders[f"{place}/{name}"] = "missing"
    hold(
        "module-names",
        offenders,
        why="who knows one module knows them all: rules.py says why, repositories.py what is read",
    )


def test_no_file_is_empty() -> None:
    offenders = {
        file.place: "holds nothing; a package without a face holds a docstring that says what it is"
        for file in python_files()
        if not tree_of(file).body
    }
    offenders |= {
        path.relative_to(ROOT).as_posix(): "an empty folder or marker"
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.stat().st_size == 0
        if path.name != "py.typed" and path.suffix != ".py"
    }
    hold("empty-files", offenders, why="an empty file promises what is not there")


def test_every_package_has_an_init_file() -> None:
    folders = {
        file.path.parent for file in package_files() if file.path.parent.name != "migrations"
    }
    offenders = {
        folder.relative_to(ROOT).as_posix(): "has no __init__.py: a face, or what the room is for"
        for folder in sorted(folders)
        if not (folder / "__init__.py").exists()
    }
    hold("packages", offenders, why="tools that read imports overlook a folder without one")


def test_a_face_holds_names_and_no_logic() -> None:
    offenders: dict[str, str] = {}
    for file in package_files():
        if not file.is_face:
            continue
        for node in tree_of(file).body:
            if not _belongs_in_a_face(node):
                offenders[f"{file.place}:{node.lineno}"] = "logic in a face"
    hold("faces-hold-names", offenders, why="a face is read to see what a package offers")


def _belongs_in_a_face(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(name, ast.Name) and name.id.startswith("__") for name in targets)
    return False
