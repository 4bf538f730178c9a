"""`bedplate backup`: save the database, see what is saved, bring it back, delete what is old."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import make_conninfo

from bedplate.cli.opening import Opened, address, opened, settings_of
from bedplate.cli.options import Json, Role, examples, group
from bedplate.cli.output import ExitCode, Output, table
from bedplate.kernel.errors import BackupDamaged
from bedplate.operations.backup import (
    KEEP,
    Backup,
    OnProgress,
    Progress,
    damaged,
    find,
    listed,
)
from bedplate.operations.backup import create as create_backup
from bedplate.operations.backup import prune as prune_backups
from bedplate.operations.backup import restore as restore_backup
from bedplate.operations.backup import verify as verify_backup

UNIT = 1024
UNITS = ("B", "kB", "MB", "GB", "TB")

Name = Annotated[str, typer.Argument(metavar="BACKUP", help="A backup's id, or `latest`.")]
Into = Annotated[str, typer.Option("--into", metavar="NEWDB", help="The database to make.")]
KeepDays = Annotated[
    int, typer.Option(min=0, max=36_500, help="How many days a backup is kept.", show_default=True)
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file too; exit with 1 if one is damaged.")
]

app = group(
    "Save the whole database into a folder (the setting backup_folder, .bedplate/backups), and"
    " bring it back into a new database.",
    short="Save the database, and bring it back.",
    epilog=examples(
        "bedplate backup create",
        "bedplate backup list",
        "bedplate backup restore latest --into shop_restored",
    ),
)


@app.command(
    short_help="Save the database.",
    epilog=examples("bedplate backup create", "bedplate backup create --json"),
)
def create(context: typer.Context, as_json: Json = False) -> None:
    """Save the database as it is at this moment, while others go on writing to it.

    Needs pg_dump of the server's major version, and a role that may read everything: the server's
    own administrator, or behind a URL the owner.
    """
    out = Output(as_json)
    settings = settings_of(context)
    with opened(settings, out) as project, _progress(out) as on_progress:
        made = create_backup(_url(project), settings.backups, on_progress=on_progress)
    out.result(
        _document(made),
        f"Saved as {made.id}: {len(made.manifest.contents)} tables, {made.rows} rows,"
        f" {_size(made.manifest.size)}, in {made.folder}.",
    )


@app.command(
    "list",
    short_help="Show the backups, newest first.",
    epilog=examples("bedplate backup list", "bedplate backup list --verify --json"),
)
def list_backups(context: typer.Context, verify: Verify = False, as_json: Json = False) -> int:
    """Show the whole backups, newest first; those that cannot be trusted are named as damaged."""
    out = Output(as_json)
    shelf = settings_of(context).backups
    found = listed(shelf)
    broken = dict(damaged(shelf))
    if verify:
        with _progress(out) as on_progress:
            broken |= _verified(found, on_progress)
    for name, why in broken.items():
        out.note(f"{name} is damaged: {why}")
    whole = [each for each in found if each.id not in broken]
    out.result(
        {
            "folder": shelf,
            "backups": [_document(each) for each in whole],
            "damaged": [{"id": name, "message": why} for name, why in broken.items()],
        },
        _table(whole, shelf),
    )
    return ExitCode.FOUND if broken else ExitCode.OK


@app.command(
    short_help="Bring a backup back, into a new database.",
    epilog=examples(
        "bedplate backup restore latest --into shop_restored",
        "bedplate backup restore 20260701T120000Z-3f9a1c --into shop_restored --json",
    ),
)
def restore(context: typer.Context, backup: Name, into: Into, as_json: Json = False) -> None:
    """Restore a backup into a new database, and compare what is in it with what was saved.

    Never over a database with anything in it. Every file is verified before anything is created.
    Behind a URL the owner needs CREATEDB, or an empty database that is there already.
    """
    out = Output(as_json)
    settings = settings_of(context)
    chosen = find(settings.backups, backup)
    with opened(settings, out) as project, _progress(out) as on_progress:
        url = _url(project)
        restored = restore_backup(chosen, url, into, on_progress=on_progress)
    where = address(make_conninfo(url, dbname=into))
    out.result(
        {
            "backup": chosen.id,
            "address": where,
            "tables": restored.tables,
            "rows": restored.rows,
            "same": True,
        },
        f"{into} has all of {chosen.id}: {restored.tables} tables and {restored.rows} rows, and its"
        " catalog is the same.",
    )


@app.command(
    short_help="Delete old backups.",
    epilog=examples("bedplate backup prune", "bedplate backup prune --keep-days 30 --json"),
)
def prune(context: typer.Context, keep_days: KeepDays = KEEP.days, as_json: Json = False) -> None:
    """Delete backups that are old, but never the newest good one of a database.

    What a killed `create` left behind goes too.
    """
    out = Output(as_json)
    shelf = settings_of(context).backups
    with out.working("Looking for old backups"):
        pruned = prune_backups(shelf, keep=timedelta(days=keep_days))
    cleared = f" {pruned.cleared} unfinished ones are cleared." if pruned.cleared else ""
    out.result(
        {
            "removed": [each.id for each in pruned.removed],
            "kept": [each.id for each in pruned.kept],
            "cleared": pruned.cleared,
        },
        f"{len(pruned.removed)} deleted, {len(pruned.kept)} kept.{cleared}",
    )


def _url(project: Opened) -> str:
    """The address of the role that may see and make most: ours on our own server."""
    return project.url(Role.ADMIN if project.attachment is not None else Role.OWNER)


@contextmanager
def _progress(out: Output) -> Generator[OnProgress]:
    with out.progress() as advance:

        def tell(progress: Progress) -> None:
            advance(progress.doing, progress.done, progress.total)

        yield tell


def _verified(found: tuple[Backup, ...], on_progress: OnProgress) -> dict[str, str]:
    broken: dict[str, str] = {}
    for backup in found:
        try:
            verify_backup(backup, on_progress=on_progress)
        except BackupDamaged as error:
            broken[backup.id] = error.message
    return broken


def _document(backup: Backup) -> dict[str, object]:
    manifest = backup.manifest
    return {
        "id": backup.id,
        "database": manifest.database,
        "made_at": manifest.made_at,
        "server_version": manifest.server_version,
        "size_bytes": manifest.size,
        "tables": len(manifest.contents),
        "rows": backup.rows,
        "modules": manifest.modules,
        "fingerprint": manifest.fingerprint,
        "folder": backup.folder,
    }


def _table(backups: list[Backup], shelf: Path) -> str:
    if not backups:
        return f"No backups in {shelf}."
    rows = [("id", "database", "made at", "tables", "rows", "size", "PostgreSQL")]
    rows += [
        (
            *(each.id, each.manifest.database),
            each.manifest.made_at.isoformat(timespec="seconds"),
            *(str(len(each.manifest.contents)), str(each.rows), _size(each.manifest.size)),
            each.manifest.server_version,
        )
        for each in backups
    ]
    return table(rows)


def _size(size: int) -> str:
    """Say a size in bytes with three digits or so: 1.4 MB."""
    amount = float(size)
    for unit in UNITS[:-1]:
        if amount < UNIT:
            return f"{amount:.3g} {unit}"
        amount /= UNIT
    return f"{amount:.3g} {UNITS[-1]}"
