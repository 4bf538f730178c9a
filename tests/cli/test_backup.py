"""`bedplate backup` as people meet it: on the project's own server and behind a URL."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded
from bedplate.kernel.embedded import Attachment
from tests.cli.terminal import Terminal, clean_environment, until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's folder, whose server is gone afterwards."""
    folder = tmp_path_factory.mktemp("backup") / "shop"
    folder.mkdir()
    (folder / "bedplate.toml").write_text("modules = []\n")
    yield folder
    embedded.purge(folder)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Attachment]:
    """Its server, which runs, with a table in its database."""
    made = Terminal(folder).run("up", "--exit", "--json")
    assert made.code == 0, made.stderr
    attachment = embedded.attach(folder, major=embedded.status(folder).major or 18)
    with psycopg.connect(attachment.url("owner")) as owner:
        owner.execute("CREATE SCHEMA goods CREATE TABLE goods.bikes (id int PRIMARY KEY)")
        owner.execute("INSERT INTO goods.bikes SELECT generate_series(1, 7)")
    yield attachment
    attachment.detach()


@pytest.fixture
def shop(server: Attachment, folder: Path, tmp_path: Path) -> Terminal:
    """A terminal in the project's folder, without backups yet."""
    return Terminal(folder, clean_environment(BEDPLATE_BACKUP_FOLDER=str(tmp_path / "kept")))


def test_a_backup_is_made_listed_restored_and_pruned(shop: Terminal, server: Attachment) -> None:
    assert shop.run("backup", "list").stdout.startswith("No backups in ")
    made = shop.run("backup", "create", "--json")
    assert made.code == 0, made.stderr
    assert made.document["database"] == "shop"
    assert made.document["rows"] >= 7, "those of the table, and what the kernel notes of itself"
    shelf = Path(shop.environment["BEDPLATE_BACKUP_FOLDER"])
    assert stat.S_IMODE(shelf.stat().st_mode) == 0o700
    listed = shop.run("backup", "list", "--verify", "--json")
    assert listed.code == 0
    assert listed.document == {
        "folder": str(shelf),
        "backups": [made.document],
        "damaged": [],
    }
    assert made.document["id"] in shop.run("backup", "list").stdout
    restored = shop.run("backup", "restore", "latest", "--into", "shop_back", "--json")
    assert restored.code == 0, restored.stderr
    assert restored.document["same"] is True
    assert restored.document["address"]["database"] == "shop_back"
    with psycopg.connect(server.url("owner", "shop_back")) as owner:
        assert owner.execute("SELECT count(*) FROM goods.bikes").fetchone() == (7,)
    pruned = shop.run("backup", "prune", "--keep-days", "0", "--json")
    assert pruned.document == {"removed": [], "kept": [made.document["id"]], "cleared": 0}
    said = made.stdout + made.stderr + restored.stdout + restored.stderr
    for role in ("admin", "owner"):
        assert str(conninfo_to_dict(server.url(role))["password"]) not in said


def test_what_is_refused_says_why_and_exits_with_its_code(
    shop: Terminal, server: Attachment
) -> None:
    made = shop.run("backup", "create", "--json").document
    cases = {
        ("restore", made["id"], "--into", "shop"): (3, "restore_refused", "never restored over"),
        ("restore", "yesterday", "--into", "new"): (2, "backup_not_found", "backup list"),
        ("prune", "--keep-days", "-1"): (2, "usage", "--help"),
    }
    for arguments, (code, name, step) in cases.items():
        said = shop.run("backup", *arguments, "--json")
        assert (said.code, said.document["error"]["code"]) == (code, name), said.stderr
        assert step in said.document["error"]["next_step"]
    toc = Path(made["folder"]) / "dump" / "toc.dat"
    toc.write_bytes(toc.read_bytes() + b" ")
    said = shop.run("backup", "list", "--verify", "--json")
    assert (said.code, said.document["damaged"][0]["id"]) == (1, made["id"])
    said = shop.run("backup", "restore", "latest", "--into", "shop_new", "--json")
    assert (said.code, said.document["error"]["code"]) == (1, "backup_damaged")
    assert "toc.dat" in said.document["error"]["message"]
    with psycopg.connect(server.url("admin")) as admin:
        query = "SELECT count(*) FROM pg_database WHERE datname = 'shop_new'"
        assert admin.execute(query).fetchone() == (0,)


def test_behind_a_url_it_is_the_owner_who_saves(shop: Terminal, server: Attachment) -> None:
    urls = {"DATABASE_URL": server.url("app"), "DATABASE_OWNER_URL": server.url("owner")}
    made = shop.run("backup", "create", "--json", **urls)
    assert made.code == 0, made.stderr
    said = shop.run("backup", "restore", "latest", "--into", "shop_url", "--json", **urls)
    assert (said.code, said.document["error"]["code"]) == (3, "restore_refused")
    assert "CREATEDB" in said.document["error"]["next_step"]


def test_ctrl_c_leaves_nothing(shop: Terminal, server: Attachment) -> None:
    shelf = Path(shop.environment["BEDPLATE_BACKUP_FOLDER"])
    with psycopg.connect(server.url("owner")) as owner:
        owner.execute("LOCK TABLE goods.bikes IN ACCESS EXCLUSIVE MODE")
        running = shop.start("backup", "create", "--json")
        until(lambda: any(shelf.glob(".unfinished-*")))
        until(lambda: _waits(server))
        assert running.end(signal.SIGINT) == 130
    assert [path.name for path in shelf.iterdir()] == [".gitignore"]


@pytest.mark.parametrize("value", ["7", '"a\\u0000b"'])
def test_a_setting_that_is_no_folder_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "bedplate.toml").write_text(f"backup_folder = {value}\n")
    said = Terminal(tmp_path).run("backup", "list", "--json")
    assert (said.code, json.loads(said.stdout)["error"]["code"]) == (2, "settings")
    assert "backup_folder" in said.stderr


def _waits(server: Attachment) -> bool:
    with psycopg.connect(server.url("admin")) as admin:
        row = admin.execute("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted").fetchone()
    return bool(row and row[0])
