"""What a module leaves in the database when it is disabled."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bedplate.catalog import connect
from bedplate.cli.opening import opened
from bedplate.cli.output import Output
from bedplate.kernel import embedded
from bedplate.kernel.errors import ConnectionFailed
from bedplate.kernel.lines import VERSION_TABLE
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.settings import Settings

TABLES = """
SELECT c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> %s
ORDER BY 1
"""


def filled_tables(settings: Settings, manifest: ModuleManifest, out: Output) -> list[str] | None:
    """Return the module's tables that hold rows; None where the database cannot be asked."""
    if settings.database_url is None:
        data = embedded.status(settings.folder).data_folder
        if data is None or not data.exists():
            return []
    try:
        with opened(settings, out) as project, connect(project.owner_url) as connection:
            names = [
                name for (name,) in connection.execute(TABLES, [manifest.schema, VERSION_TABLE])
            ]
            return [
                f"{manifest.schema}.{name}"
                for name in names
                if connection.execute(
                    sql.SQL("SELECT 1 FROM {} LIMIT 1").format(
                        sql.Identifier(manifest.schema, name)
                    )
                ).fetchone()
            ]
    except (ConnectionFailed, psycopg.Error):
        # To leave a module out is a change of a file, which needs no database.
        return None
