"""The commands between `up` and `down`, on one project's own server."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.cli.main import run
from bedplate.kernel import embedded

MAJOR = int(os.environ.get("BEDPLATE_TEST_POSTGRES_MAJOR") or 18)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose server is kept up by this process, empty as yet."""
    folder = tmp_path_factory.mktemp("cli") / "corner"
    folder.mkdir()
    attachment = embedded.attach(folder, major=MAJOR, durable=False)
    (folder / "bedplate.toml").write_text(f"postgres_major = {MAJOR}\n")
    yield folder
    attachment.detach()
    embedded.purge(folder)


@pytest.fixture(autouse=True)
def _here(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(project)


def said(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capfd.readouterr().out)


def test_migrate_seed_check_and_docs_follow_one_another(capfd: pytest.CaptureFixture[str]) -> None:
    assert said(capfd, "seed", code=5)["error"]["code"] == "outdated_line"
    assert not said(capfd, "migrate", "status", "--check", code=1)["current"]
    assert said(capfd, "check", code=1)["ok"] is False
    assert said(capfd, "migrate", "apply")[-1]["revision"] == "0007_grants"
    assert said(capfd, "migrate", "apply") == []
    assert said(capfd, "migrate", "status", "--check")["current"]
    for users, used in ((8, 19), (0, 0)):
        assert said(capfd, "seed")["samples"] == [
            {"module": "auth", "rows": users},
            {"module": "credits", "rows": used},
        ]
    assert said(capfd, "check")["ok"]
    assert said(capfd, "docs", "check", code=1)["error"]["code"] == "document_stale"
    assert "auth.md" in said(capfd, "docs", "build")["changed"]
    assert said(capfd, "docs", "build")["changed"] == []
    assert said(capfd, "docs", "check")["current"]


def test_receipts_are_told_exported_and_verified(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said(capfd, "migrate", "apply")
    chain = said(capfd, "migrate", "receipts", "--verify", "--export", "chain.json")
    assert chain["whole"]
    assert chain["receipts"][-1]["document"]["module"] == "credits"
    assert json.loads((project / "chain.json").read_text()) == chain
    assert run(["migrate", "receipts"]) == 0
    assert "the chain is whole" in capfd.readouterr().out
    assert said(capfd, "migrate", "receipts", "--export", "no/where", code=2)
    admin = said(capfd, "url", "--role", "admin")["url"]
    forge = "UPDATE bedplate.receipts SET hash = %s WHERE number = 1"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(forge, ["0"])
        faults = said(capfd, "migrate", "receipts", "--verify", code=1)["faults"]
        assert "receipts, entry 1: it was changed." in faults
        broken = {each["id"] for each in said(capfd, "check", code=1)["checks"] if not each["ok"]}
        assert "bedplate.E005" in broken
        connection.execute(forge, [chain["receipts"][0]["hash"]])


def test_a_broken_law_is_shown_with_its_rows_and_code_1(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said(capfd, "migrate", "apply")
    owner = said(capfd, "url", "--role", "owner")["url"]
    with psycopg.connect(owner) as connection:
        connection.execute(
            "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'eve@example.com')"
        )
    try:
        broken = {each["id"] for each in said(capfd, "check", code=1)["checks"] if not each["ok"]}
        assert broken == {"auth.E001"}
        assert run(["check"]) == 1
        text = capfd.readouterr().out
        assert "FAIL  auth.E001" in text
        assert "id = " in text
    finally:
        with psycopg.connect(owner) as connection:
            connection.execute("DELETE FROM auth.users WHERE email = 'eve@example.com'")


@pytest.mark.parametrize("role", ["app", "owner", "reader", "admin"])
def test_every_role_s_url_connects(role: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["url", "--role", role]) == 0
    with psycopg.connect(capfd.readouterr().out.strip()) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    assert row is not None
    assert row[0].endswith(role)


def test_psql_runs_with_its_own_arguments_and_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["psql", "--", "-X", "-A", "-t", "-c", "SELECT 6 * 7"]) == 0
    assert capfd.readouterr().out.strip() == "42"
    assert run(["psql", "--role", "reader", "--", "-X", "-c", "SELECT nonsense"]) == 1


@pytest.mark.usefixtures("forgetting")
@pytest.mark.filterwarnings("ignore:This declarative base already contains")
def test_a_module_s_way_from_new_to_rows_that_stay(capfd: pytest.CaptureFixture[str]) -> None:
    said(capfd, "module", "new", "corner.shelves")
    assert said(capfd, "migrate", "apply")[-1]["revision"] == "0001_shelves"
    assert said(capfd, "check")["ok"]
    url = said(capfd, "url")["url"]
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO shelves.shelves (id, title) VALUES (gen_random_uuid(), 'top')"
        )
    disabled = said(capfd, "module", "disable", "shelves")
    assert disabled["tables_with_rows"] == ["shelves.shelves"]
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT title FROM shelves.shelves").fetchall()
    assert rows == [("top",)]


def test_status_tells_of_the_server_and_the_lines(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status = said(capfd, "status")
    assert status["database"]["running"]
    assert status["database"]["source"] == "embedded"
    assert os.getpid() in status["database"]["attached"]
    assert {line["name"] for line in status["modules"]} == {"bedplate", "auth", "credits"}


def test_purge_deletes_once_the_name_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    embedded.attach(tmp_path, major=MAJOR, durable=False).detach()
    name = embedded.status(tmp_path).database
    monkeypatch.setattr("sys.stdin", io.StringIO("another\n"))
    assert said(capfd, "down", "--purge", code=2)["error"]["code"] == "usage"
    assert embedded.status(tmp_path).database == name
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{name}\n"))
    assert said(capfd, "down", "--purge")["purged"]
    assert list(tmp_path.iterdir()) == []
    assert said(capfd, "down", "--purge", "--yes")["stopped"] is False


def test_another_major_version_is_refused_and_nothing_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BEDPLATE_POSTGRES_MAJOR", "16" if MAJOR == 18 else "18")
    before = embedded.status(project)
    for command in (["up", "--exit"], ["check"]):
        assert said(capfd, *command, code=4)["error"]["code"] == "wrong_major"
    assert embedded.status(project) == before


def test_a_read_only_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / ".bedplate"
    place.mkdir(mode=0o500)
    refused = said(capfd, "up", "--exit", code=4)
    assert refused["error"]["code"] == "folder_not_writable"
    assert list(place.iterdir()) == []


def test_a_stranger_s_port_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        refused = said(capfd, "up", "--port", port, code=4)
    assert refused["error"]["code"] == "port_taken"
    assert port in refused["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_password_is_one_line_and_the_right_one_needs_no_server_of_ours(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    right = said(capfd, "url", "--role", "owner")["url"]
    user, _, place = right.partition("@")
    monkeypatch.setenv("DATABASE_URL", f"{user.rpartition(':')[0]}:hush@{place}")
    assert run(["up", "--port", "0", "--json"]) == 3
    refused = capfd.readouterr()
    assert json.loads(refused.out)["error"]["code"] == "authentication_failed"
    assert [line for line in refused.err.splitlines() if "password" in line][1:] == []
    assert "hush" not in refused.out + refused.err
    monkeypatch.setenv("DATABASE_URL", right)
    up = said(capfd, "up", "--exit")
    assert up["database"]["source"] == "DATABASE_URL"
    assert up["samples"] == {}
