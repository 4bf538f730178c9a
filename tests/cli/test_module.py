from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bedplate.cli.main import run
from bedplate.cli.output import ExitCode

# Each test declares the same table anew.
pytestmark = [
    pytest.mark.usefixtures("forgetting"),
    pytest.mark.filterwarnings("ignore:This declarative base already contains"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "BEDPLATE_MODULES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == ExitCode.OK
    return json.loads(capsys.readouterr().out)


def test_new_writes_a_module_that_can_be_imported_and_enables_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bedplate.toml").write_text(
        '# ours\nmodules = [\n    "auth", # people\n]\n\n[test]\npostgres_major = 18 # newest\n'
    )
    made = said(capsys, "module", "new", "corner.shelves")
    assert set(made["files"]) == {
        "corner/__init__.py",
        *(f"corner/shelves/{name}.py" for name in ("__init__", "module", "models", "actions")),
        "corner/shelves/README.md",
        "corner/shelves/migrations/0001_shelves.py",
    }
    assert (folder / "bedplate.toml").read_text() == (
        '# ours\nmodules = [\n    "auth", # people\n    "corner.shelves",\n]\n\n'
        "[test]\npostgres_major = 18 # newest\n"
    )
    listed = {each["name"]: each for each in said(capsys, "module", "list")["modules"]}
    assert listed["shelves"]["enabled"]
    assert listed["shelves"]["head"] == "0001_shelves"
    for text in (folder / "corner").rglob("*.py"):
        assert "<" not in text.read_text()
    assert not (folder / ".bedplate").exists()


def test_the_file_is_made_where_there_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "module", "new", "corner.news")
    written = (folder / "bedplate.toml").read_text()
    assert written == 'modules = ["auth", "credits", "corner.news"]\n'


def test_disable_and_enable_are_each_other_s_way_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "module", "new", "corner.shelves")
    before = (folder / "bedplate.toml").read_text()
    assert said(capsys, "module", "disable", "shelves")["tables_with_rows"] == []
    assert said(capsys, "module", "enable", "corner.shelves")["changed"]
    assert (folder / "bedplate.toml").read_text() == before
    assert not said(capsys, "module", "enable", "corner.shelves")["changed"]


def test_what_another_module_requires_is_not_disabled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "module", "new", "corner.shelves")
    manifest = folder / "corner" / "shelves" / "module.py"
    manifest.write_text(manifest.read_text().replace("models=", 'requires=("auth",),\n    models='))
    said(capsys, "module", "disable", "credits")
    before = (folder / "bedplate.toml").read_text()
    assert run(["module", "disable", "auth"]) == ExitCode.USAGE
    assert "shelves requires auth" in capsys.readouterr().err
    assert (folder / "bedplate.toml").read_text() == before
    (auth, shelves) = said(capsys, "module", "graph")["modules"]
    assert auth["required_by"] == ["shelves"]
    assert shelves["requires"] == ["auth"]
    assert run(["module", "graph"]) == ExitCode.OK
    assert capsys.readouterr().out == "auth\n└── required by shelves\nshelves\n└── requires auth\n"


def test_what_is_bound_to_a_host_s_table_does_not_keep_its_module_enabled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else neither could go first: the module, or the section that binds its table."""
    (folder / "bedplate.toml").write_text(
        'modules = ["auth", "mining"]\n[bind.users]\ntable = "public.users"\n'
        '[bind.miners]\ntable = "public.miners"\n'
    )
    assert said(capsys, "module", "disable", "mining")["idle_bindings"] == ["miners"]
    assert run(["module", "list"]) == ExitCode.USAGE
    assert "[bind.miners] binds a table that no enabled module offers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("shelves", "bare name"),
        ("corner.class", "'class'"),
        ("corner.Shelves", "'Shelves'"),
        ("corner.../../etc", "no lower-case name"),
        ("corner.public", "schema"),
        ("corner.pg_shelves", "schema"),
        ("corner.auth", "auth"),
        ("json.shelves", "json"),
    ],
)
def test_a_path_that_cannot_be_a_module_is_refused(
    path: str, word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["module", "new", path]) == ExitCode.USAGE
    assert word in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_package_that_exists_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "corner" / "shelves").mkdir(parents=True)
    assert run(["module", "new", "corner.shelves"]) == ExitCode.USAGE
    assert "exists" in capsys.readouterr().err
    assert not (folder / "bedplate.toml").exists()


def test_a_module_that_does_not_import_is_named_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "module", "new", "corner.shelves")
    models = folder / "corner" / "shelves" / "models.py"
    models.write_text(models.read_text() + "\nundefined_name\n")
    assert run(["module", "graph"]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "NameError" in error
    assert "models.py" in error


def test_modules_fixed_by_the_environment_are_said_to_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BEDPLATE_MODULES", "auth")
    assert run(["module", "new", "corner.shelves"]) == ExitCode.USAGE
    assert "BEDPLATE_MODULES" in capsys.readouterr().err
