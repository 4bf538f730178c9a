"""Backups that are damaged, unfinished or old: none passes for a good one, and a good one stays."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import errors
from bedplate.operations import backup
from bedplate.operations.backup import Backup
from bedplate.operations.backup import manifest as manifest_file
from tests.cli.terminal import until
from tests.databases import TestDatabase
from tests.operations.saved import (
    admin_url,
    at,
    create_in_a_process,
    databases,
    filled,
    flip,
    into,
    kept,
    made,
    place,
    shelf,
    time,
)

__all__ = ["admin_url", "filled", "into", "kept", "made", "place", "shelf", "time"]


class TestDamage:
    def test_one_flipped_bit_in_any_file_is_refused_before_anything_is_created(
        self, made: Backup, shelf: Path, admin_url: str, into: str
    ) -> None:
        files = [path for path in made.folder.rglob("*") if path.is_file()]
        assert len(files) > 20
        for path in files:
            whole = path.read_bytes()
            flip(path)
            with pytest.raises(errors.BackupDamaged):
                backup.restore(made, admin_url, into)
            with pytest.raises(errors.BackupDamaged):
                backup.verify(backup.find(shelf, made.id))
            path.write_bytes(whole)
        assert into not in databases(admin_url)
        backup.verify(made)

    def test_a_file_that_is_missing_added_or_a_link_is_named(
        self, made: Backup, tmp_path: Path
    ) -> None:
        (made.folder / "extra").touch()
        with pytest.raises(errors.BackupDamaged, match="extra is no file"):
            backup.verify(made)
        (made.folder / "extra").unlink()
        toc = made.folder / "dump" / "toc.dat"
        toc.rename(tmp_path / "toc.dat")
        with pytest.raises(errors.BackupDamaged, match=r"toc\.dat .*missing"):
            backup.verify(made)
        toc.symlink_to(tmp_path / "toc.dat")
        with pytest.raises(errors.BackupDamaged, match=r"toc\.dat .*missing"):
            backup.verify(made)

    def test_a_broken_manifest_is_not_listed_but_told(self, made: Backup, shelf: Path) -> None:
        flip(made.folder / manifest_file.MANIFEST)
        assert backup.listed(shelf) == ()
        assert [name for name, _ in backup.damaged(shelf)] == [made.id]
        with pytest.raises(errors.BackupDamaged, match="does not match"):
            backup.find(shelf, made.id)
        (made.folder / manifest_file.MANIFEST).unlink()
        assert [name for name, _ in backup.damaged(shelf)] == [made.id]
        with pytest.raises(errors.BackupNotFound, match="no backup other"):
            backup.find(shelf, "other")
        with pytest.raises(errors.BackupNotFound, match="backup create"):
            backup.find(shelf, "latest")


class TestAKilledCreate:
    @pytest.mark.parametrize("moment", ["reading", "dumping"])
    def test_leaves_nothing_that_is_listed(
        self, place: TestDatabase, shelf: Path, moment: str
    ) -> None:
        whole = backup.create(place.owner_url, shelf)
        with psycopg.connect(place.owner_url) as owner:
            owner.execute(
                'INSERT INTO "Odd shop".orders ("the note") SELECT repeat(md5(n::text), 20)'
                " FROM generate_series(1, 60000) n"
            )
        wanted = "*" if moment == "reading" else "dump/*.dat.gz"
        # However late we see that it dumps, it has not ended by then.
        making = create_in_a_process(place, shelf, never_ends=True)
        with making as process, _blocked(place, moment):
            until(lambda: any(shelf.glob(f".unfinished-*/{wanted}")) or _begun(shelf, moment))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert [each.id for each in backup.listed(shelf)] == [whole.id]
        assert backup.damaged(shelf) == ()
        assert len(list(shelf.glob(".unfinished-*"))) == 1
        until(lambda: backup.prune(shelf).cleared == 1)
        assert [path.name for path in shelf.iterdir() if path.is_dir()] == [whole.id]

    def test_the_next_create_clears_it_and_no_living_one(
        self, place: TestDatabase, shelf: Path
    ) -> None:
        with _blocked(place, "reading"):
            with create_in_a_process(place, shelf) as dead:
                until(lambda: _begun(shelf, "reading"))
                left = _unfinished(shelf)
                dead.kill()
                dead.wait()
            with create_in_a_process(place, shelf) as living:
                until(lambda: _unfinished(shelf) not in ([], left))
                assert backup.prune(shelf).cleared == 0
                (unfinished,) = _unfinished(shelf)
        # Freed of the lock, the living one ends well.
        assert living.wait(60) == 0
        assert unfinished == f".unfinished-{backup.find(shelf, 'latest').id}"
        assert _unfinished(shelf) == []


class TestPrune:
    def test_after_seven_days_a_backup_goes_but_never_the_newest_good_one(
        self, place: TestDatabase, shelf: Path, time: list[datetime]
    ) -> None:
        made: list[Backup] = []
        for _ in range(3):
            made.append(backup.create(place.owner_url, shelf))
            time.append(time[-1] + timedelta(days=3))
        assert backup.prune(shelf).removed == (made[0],), "9 days old"
        time.append(time[-1] + timedelta(days=365))
        assert backup.prune(shelf).removed == (made[1],)
        assert backup.prune(shelf).removed == ()
        assert backup.listed(shelf) == (made[2],)

    def test_a_damaged_newest_one_does_not_count(
        self, place: TestDatabase, shelf: Path, time: list[datetime]
    ) -> None:
        good = backup.create(place.owner_url, shelf)
        time.append(time[-1] + timedelta(days=8))
        broken = backup.create(place.owner_url, shelf)
        flip(broken.folder / "dump" / "toc.dat")
        assert backup.prune(shelf).removed == ()
        time.append(time[-1] + timedelta(days=8))
        pruned = backup.prune(shelf)
        assert (pruned.removed, pruned.kept) == ((broken,), (good,))
        flip(good.folder / "dump" / "toc.dat")
        assert backup.prune(shelf).removed == (), "where none is good, nothing goes"

    def test_databases_are_told_apart(
        self, place: TestDatabase, shelf: Path, into: str, time: list[datetime]
    ) -> None:
        first = backup.create(place.owner_url, shelf)
        backup.restore(first, place.admin_url, into)
        time.append(time[-1] + timedelta(days=8))
        other = backup.create(at(place.admin_url, into), shelf)
        assert backup.prune(shelf).removed == ()
        assert backup.newest(shelf, first.manifest.identity) == first
        assert backup.newest(shelf, other.manifest.identity) == other


class TestARecentOne:
    def test_is_taken_once_a_day(
        self, place: TestDatabase, shelf: Path, time: list[datetime]
    ) -> None:
        first = backup.ensure_recent(place.owner_url, shelf)
        time.append(time[-1] + timedelta(hours=23, minutes=59))
        assert backup.ensure_recent(place.admin_url, shelf) == first
        time.append(time[-1] + timedelta(minutes=1))
        second = backup.ensure_recent(place.owner_url, shelf)
        assert second != first
        time.append(first.manifest.made_at - timedelta(hours=1))
        assert backup.ensure_recent(place.owner_url, shelf) not in (first, second), "made tomorrow"

    def test_a_damaged_or_foreign_one_does_not_do(
        self, place: TestDatabase, shelf: Path, into: str
    ) -> None:
        first = backup.ensure_recent(place.owner_url, shelf)
        backup.restore(first, place.admin_url, into)
        other = backup.ensure_recent(at(place.admin_url, into), shelf)
        assert other.manifest.identity != first.manifest.identity
        flip(first.folder / "dump" / "toc.dat")
        assert backup.ensure_recent(place.owner_url, shelf) not in (first, other)


@contextmanager
def _blocked(place: TestDatabase, moment: str) -> Iterator[None]:
    """Hold up a reader of the tables for as long as it takes to kill it."""
    with psycopg.connect(place.owner_url) as owner:
        if moment == "reading":
            owner.execute('LOCK TABLE "Odd shop".orders IN ACCESS EXCLUSIVE MODE')
        yield
        owner.rollback()


def _unfinished(shelf: Path) -> list[str]:
    return [path.name for path in shelf.glob(".unfinished-*")]


def _begun(shelf: Path, moment: str) -> bool:
    return moment == "reading" and bool(_unfinished(shelf))
