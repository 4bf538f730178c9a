"""A backup is the database at one moment, and comes back exactly or not at all."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import errors
from bedplate.operations import backup
from bedplate.operations.backup import Backup, Progress
from bedplate.operations.backup import manifest as manifest_file
from tests.cli.terminal import until
from tests.databases import TestDatabase
from tests.operations.saved import (
    admin_url,
    ask,
    at,
    databases,
    filled,
    into,
    kept,
    made,
    place,
    remade,
    shelf,
)

__all__ = ["admin_url", "filled", "into", "kept", "made", "place", "shelf"]


class TestCreate:
    def test_it_says_what_was_saved(self, place: TestDatabase, shelf: Path) -> None:
        seen: list[Progress] = []
        made = backup.create(place.owner_url, shelf, on_progress=seen.append)
        manifest = made.manifest
        assert (manifest.database, made.folder) == (place.name, shelf / made.id)
        assert manifest.contents["auth.users"].rows == 20
        assert manifest.contents["Odd shop.orders"].rows == 2000
        assert manifest.contents["Odd shop.events_2026"].rows == 300
        assert set(manifest.modules) >= {"auth", "credits"}
        assert manifest.server_version.startswith(f"{manifest.major}.")
        assert manifest.size == sum(
            path.stat().st_size
            for path in made.folder.rglob("*")
            if path.is_file() and not path.name.startswith("manifest")
        )
        assert backup.listed(shelf) == (made,)
        assert backup.find(shelf, made.id) == backup.find(shelf, "latest") == made
        assert {each.doing for each in seen} >= {"Reading every table"}
        backup.verify(made)

    def test_nobody_else_may_read_it_and_it_holds_no_password(
        self, place: TestDatabase, shelf: Path
    ) -> None:
        made = backup.create(place.owner_url, shelf)
        password = str(conninfo_to_dict(place.owner_url)["password"]).encode()
        for path in (shelf.parent, shelf, made.folder, *made.folder.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path
            assert path.is_dir() or password not in path.read_bytes()
        assert (shelf / ".gitignore").read_text() == "*\n"

    def test_the_manifest_can_be_checked_without_bedplate(
        self, place: TestDatabase, shelf: Path
    ) -> None:
        made = backup.create(place.owner_url, shelf)
        program = shutil.which("sha256sum")
        assert program is not None
        done = subprocess.run(
            [program, "--check", "manifest.sha256"], cwd=made.folder, check=False, text=True,
            capture_output=True,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "manifest.json: OK\n")

    def test_a_role_that_may_not_read_all_is_told_what_to_grant(
        self, place: TestDatabase, shelf: Path
    ) -> None:
        with psycopg.connect(place.admin_url) as admin:
            admin.execute("CREATE TABLE public.hidden ()")
        with pytest.raises(errors.BackupRefused, match=r"hidden.*pg_read_all_data"):
            backup.create(place.owner_url, shelf)
        assert backup.listed(shelf) == ()
        assert [each.name for each in shelf.iterdir()] == [".gitignore"], "nothing is left of it"
        assert backup.create(place.admin_url, shelf).manifest.contents["public.hidden"].rows == 0

    def test_a_folder_that_cannot_be_made_is_refused(
        self, place: TestDatabase, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(errors.BackupRefused, match="backup_folder"):
            backup.create(place.owner_url, tmp_path / "file" / "backups")

    def test_two_at_once_do_not_disturb_each_other(self, place: TestDatabase, shelf: Path) -> None:
        made: list[Backup] = []
        threads = [
            threading.Thread(target=lambda: made.append(backup.create(place.owner_url, shelf)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {each.id for each in backup.listed(shelf)} == {each.id for each in made}
        assert len(made) == 3
        for each in made:
            backup.verify(each)


class TestRestore:
    @pytest.mark.parametrize("job_bytes", [None, 1])
    def test_everything_comes_back(
        self,
        place: TestDatabase,
        shelf: Path,
        into: str,
        monkeypatch: pytest.MonkeyPatch,
        job_bytes: int | None,
    ) -> None:
        if job_bytes is not None:
            # The package's name `create` is the function; the module is only found here.
            module = sys.modules["bedplate.operations.backup.create"]
            monkeypatch.setattr(module, "BYTES_PER_JOB", job_bytes)
        made = backup.create(place.owner_url, shelf)
        before = ask(place, 'SELECT last_value FROM "Odd shop".orders_id_seq')
        restored = backup.restore(made, place.admin_url, into)
        assert (restored.database, restored.rows) == (into, made.rows)
        assert ask(place, 'SELECT last_value FROM "Odd shop".orders_id_seq', into) == before
        again = backup.create(at(place.admin_url, into), shelf)
        assert again.manifest.contents == made.manifest.contents
        assert again.manifest.fingerprint == made.manifest.fingerprint
        assert again.manifest.identity != made.manifest.identity
        assert again.manifest.making == made.manifest.making, "owner, locale, who may connect"
        with psycopg.connect(at(place.app_url, into)) as app:
            assert app.execute("SELECT count(*) FROM auth.users").fetchone() == (20,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("CREATE TABLE public.mine ()")

    def test_conditions_that_postgresql_reads_again_flatter_come_back(
        self, place: TestDatabase, shelf: Path, into: str
    ) -> None:
        policy = (
            'CREATE POLICY odd ON "Odd shop".orders FOR UPDATE USING'
            " ((share, colour, data) IS DISTINCT FROM (1, 'red', '{}'))"
        )
        with psycopg.connect(place.owner_url) as owner:
            owner.execute(policy.encode())
        restored = backup.restore(backup.create(place.owner_url, shelf), place.admin_url, into)
        assert restored.database == into
        asked = "SELECT count(*) FROM pg_policy WHERE polname = 'odd'"
        assert ask(place, asked, into) == ask(place, asked)

    def test_while_others_write_it_is_one_moment(
        self, place: TestDatabase, shelf: Path, into: str
    ) -> None:
        stopping = threading.Event()
        writers = [threading.Thread(target=_write, args=(place, stopping)) for _ in range(3)]
        for writer in writers:
            writer.start()
        try:
            until(lambda: ask(place, 'SELECT count(*) FROM "Odd shop".orders') > 2050)
            made = backup.create(place.owner_url, shelf)
        finally:
            stopping.set()
            for writer in writers:
                writer.join()
        saved = made.manifest.contents
        # Each writer's transaction adds one row to either table.
        assert saved["Odd shop.orders"].rows - 2000 == saved["Odd shop.events_2026"].rows - 300
        assert saved["Odd shop.orders"].rows > 2000
        assert saved["Odd shop.orders"].rows < ask(place, 'SELECT count(*) FROM "Odd shop".orders')
        backup.restore(made, place.admin_url, into)

    def test_never_over_a_database_with_anything_in_it(
        self, filled: str, made: Backup, admin_url: str, into: str
    ) -> None:
        with pytest.raises(errors.RestoreRefused, match="not empty"):
            backup.restore(made, admin_url, filled)
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(into)))
            with psycopg.connect(at(admin_url, into), autocommit=True) as inside:
                for kind, name, rest in (
                    ("TABLE", "public.t", "()"),
                    ("FUNCTION", "public.f()", "RETURNS int RETURN 1"),
                    ("SCHEMA", "other", ""),
                ):
                    inside.execute(f"CREATE {kind} {name} {rest}".encode())
                    with pytest.raises(errors.RestoreRefused, match="not empty"):
                        backup.restore(made, admin_url, into)
                    inside.execute(f"DROP {kind} {name}".encode())
        assert backup.restore(made, admin_url, into).rows == made.rows, "an empty one will do"

    def test_without_createdb_an_empty_database_will_do(
        self, place: TestDatabase, shelf: Path, into: str
    ) -> None:
        made = backup.create(place.owner_url, shelf)
        with pytest.raises(errors.RestoreRefused, match="CREATEDB"):
            backup.restore(made, place.owner_url, into)
        assert into not in databases(place.admin_url)
        with psycopg.connect(place.admin_url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(into), sql.Identifier(place.roles[0])
                )
            )
            with psycopg.connect(at(place.admin_url, into), autocommit=True) as inside:
                inside.execute(
                    sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(
                        sql.Identifier(place.roles[0])
                    )
                )
        assert backup.restore(made, place.owner_url, into).rows == made.rows

    def test_an_owner_with_createdb_needs_no_administrator(
        self, place: TestDatabase, made: Backup, admin_url: str, into: str
    ) -> None:
        owner = sql.Identifier(place.roles[0])
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(owner))
            try:
                if made.manifest.major > 15:
                    assert backup.restore(made, place.owner_url, into).rows == made.rows
                else:
                    # There a role that inherits nothing does not even own its database's public.
                    with pytest.raises(errors.RestoreDiffers, match="grant on schema public"):
                        backup.restore(made, place.owner_url, into)
            finally:
                admin.execute(sql.SQL("ALTER ROLE {} NOCREATEDB").format(owner))
        with psycopg.connect(at(place.app_url, into)) as app:
            assert app.execute("SELECT count(*) FROM auth.users").fetchone() == (20,)

    def test_another_major_version_is_refused(
        self, made: Backup, admin_url: str, into: str
    ) -> None:
        other = 16 if made.manifest.major == 18 else 18
        with pytest.raises(errors.RestoreRefused, match=f"PostgreSQL {other}"):
            backup.restore(remade(made, major=other), admin_url, into)
        with pytest.raises(errors.ToolsMissing):
            backup.restore(remade(made, major=99), admin_url, into)
        assert into not in databases(admin_url)

    def test_a_role_that_the_server_lacks_is_named(
        self, made: Backup, admin_url: str, into: str
    ) -> None:
        roles = (*made.manifest.making.roles, "nobody_knows")
        changed = msgspec.structs.replace(made.manifest.making, roles=roles)
        with pytest.raises(errors.RestoreRefused, match=r"no role nobody_knows"):
            backup.restore(remade(made, making=changed), admin_url, into)
        assert into not in databases(admin_url)

    @pytest.mark.parametrize("name", ["", "a\0b", "é" * 32])
    def test_what_is_no_name_is_refused(self, made: Backup, admin_url: str, name: str) -> None:
        with pytest.raises(errors.RestoreRefused, match="name of a database"):
            backup.restore(made, admin_url, name)

    def test_what_pg_restore_cannot_read_leaves_no_database(
        self, made: Backup, admin_url: str, into: str
    ) -> None:
        toc = made.folder / "dump" / "toc.dat"
        toc.write_bytes(toc.read_bytes()[:-2000])
        with pytest.raises(errors.ToolFailed, match="pg_restore"):
            backup.restore(remade(made), admin_url, into)
        assert into not in databases(admin_url)

    def test_a_copy_that_differs_is_told_and_kept(
        self, made: Backup, admin_url: str, into: str
    ) -> None:
        contents = made.manifest.contents | {"auth.users": manifest_file.SavedContent(20, "0" * 32)}
        with pytest.raises(errors.RestoreDiffers, match=r"rows of auth\.users"):
            backup.restore(remade(made, contents=contents), admin_url, into)
        assert into in databases(admin_url)
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(into)))
        catalog = made.folder / manifest_file.CATALOG
        catalog.write_text(catalog.read_text().replace("What was ordered", "What was sold"))
        changed = remade(made, contents=made.manifest.contents, fingerprint="0")
        with pytest.raises(errors.RestoreDiffers, match="What was ordered"):
            backup.restore(changed, admin_url, into)


def _write(place: TestDatabase, stopping: threading.Event) -> None:
    with psycopg.connect(place.owner_url) as owner:
        while not stopping.is_set():
            owner.execute('INSERT INTO "Odd shop".orders ("the note") VALUES (\'more\')')
            owner.execute("INSERT INTO \"Odd shop\".events VALUES ('2026-03-04', 0)")
            owner.commit()
