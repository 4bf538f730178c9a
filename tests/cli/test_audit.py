"""`bedplate audit`: what was captured, shown to a person and written for a program."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate.cli.main import run
from bedplate.testing import Clone, FrozenClock
from tests.cli.terminal import BEDPLATE, clean_environment

ADA, GRACE = UUID(int=1), UUID(int=2)


@pytest.fixture
def clone(
    bedplate_clone: Clone,
    bedplate_clock: FrozenClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Clone:
    """A project with a history of six entries, the last two by Ada."""
    (tmp_path / "bedplate.toml").write_text('modules = ["auth"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    monkeypatch.delenv("DATABASE_OWNER_URL", raising=False)
    with psycopg.connect(bedplate_clone.url, autocommit=True) as app:
        app.execute(
            "INSERT INTO auth.users (id, email, password_hash)"
            " VALUES (%s, 'ada@example.com', 'hash-4711'), (%s, 'grace@example.com', NULL)",
            [ADA, GRACE],
        )
        app.execute("UPDATE auth.users SET name = E'G\\x1b[2J' WHERE id = %s", [GRACE])
        app.execute("DELETE FROM auth.users WHERE id = %s", [GRACE])
        app.execute("SELECT set_config('bedplate.actor', %s, false)", [str(ADA)])
        app.execute("UPDATE auth.users SET name = 'Ada', password_hash = 'hash-4712'")
        app.execute("UPDATE auth.users SET failed_login_count = 1")
    return bedplate_clone


def shown(capfd: pytest.CaptureFixture[str], *options: str) -> Any:
    assert run(["audit", "show", *options, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


@pytest.mark.usefixtures("clone")
def test_show_answers_who_changed_this_row(capfd: pytest.CaptureFixture[str]) -> None:
    document = shown(capfd, "--entity", "users", "--id", str(ADA))
    assert [entry["action"] for entry in document["entries"]] == [
        *("ROW_UPDATED", "ROW_UPDATED", "ROW_INSERTED"),
    ]
    newest = document["entries"][0]
    assert newest["module"] == "auth"
    assert newest["user_id"] == str(ADA)
    assert newest["changes"]["before"] == {"id": str(ADA), "failed_login_count": 0}
    assert document["counts"] == {"entries": 3, "by_system": 1}
    assert document["more"] is False


@pytest.mark.usefixtures("clone")
def test_every_option_narrows(capfd: pytest.CaptureFixture[str]) -> None:
    def count(*options: str) -> int:
        return int(shown(capfd, *options)["counts"]["entries"])

    assert count() == 6
    assert count("--actor", str(ADA)) == 2
    assert count("--action", "ROW_DELETED") == 1
    assert count("--entity", "invoices") == 0
    assert count("--id", str(GRACE)) == 3
    assert count("--since", "2020-01-31") == 6
    assert count("--until", "2020-01-31T10:00:00+01:00") == 0
    document = shown(capfd, "--limit", "2")
    assert (len(document["entries"]), document["more"]) == (2, True)


@pytest.mark.usefixtures("clone")
def test_the_table_is_readable_and_cannot_steer_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["audit", "show"]) == 0
    text = capfd.readouterr().out
    assert text.startswith("WHEN (UTC)")
    assert 'name: null -> "Ada"' in text
    assert 'password_hash: "[redacted]" -> "[redacted]"' in text
    assert text.endswith("6 of 6 entries; 4 in all by SYSTEM.\n")
    assert "hash-471" not in text
    assert "\x1b" not in text
    assert run(["audit", "show", "--entity", "nothing"]) == 0
    assert capfd.readouterr().out == "No entries.\n"


@pytest.mark.usefixtures("clone")
def test_export_writes_every_entry_oldest_first(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "export"]) == 0
    said = capfd.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["action"] for line in lines] == [
        *("ROW_INSERTED", "ROW_INSERTED", "ROW_UPDATED", "ROW_DELETED"),
        *("ROW_UPDATED", "ROW_UPDATED"),
    ]
    assert "6 entries." in said.err
    assert run(["audit", "export", "--format", "csv", "--actor", str(ADA)]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [json.loads(row["changes"]) for row in rows] == [line["changes"] for line in lines[4:]]
    assert [int(row["transaction_id"]) for row in rows] == [
        line["transaction_id"] for line in lines[4:]
    ]


def test_who_reads_an_export_may_stop(clone: Clone, tmp_path: Path) -> None:
    with psycopg.connect(clone.owner_url, autocommit=True) as owner:
        owner.execute("UPDATE auth.users SET name = repeat('x', 500000)")
    process = subprocess.Popen(
        [*BEDPLATE, "audit", "export"],
        cwd=tmp_path,
        env=clean_environment(DATABASE_URL=clone.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stderr:
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert b"rror" not in process.stderr.read()
    assert process.returncode == 0


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("since", ["yesterday", "", "2020-13-01"])
def test_what_is_no_moment_is_refused(since: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "show", "--since", since]) == 2
    assert "--since is not a moment" in capfd.readouterr().err


def test_a_database_without_the_log_is_told_to_migrate(
    clone: Clone, capfd: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(clone.owner_url, autocommit=True) as owner:
        owner.execute("UPDATE auth.schema_version SET version_num = '0001_users'")
    assert run(["audit", "show"]) == 5
    assert "bedplate migrate apply" in capfd.readouterr().err
