"""What a project fixes about a table: its name, its key and its column names, and whose it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bedplate.kernel.errors import SettingsError

TablePolicy = Literal["managed", "tolerated", "external", "observed"]
"""Whose a table is, as `bedplate migrate diff` and `make` see it.

managed: the lines make it, and whatever differs is drift (the default in our schemas).
tolerated: what others added to it, or a whole table of theirs, is listed and left.
external: a host's; only the columns that are bound are looked at (the default of a bound table).
observed: a host's; what changed since it was remembered is reported, never acted on.
"""

TABLE_POLICIES: tuple[TablePolicy, ...] = ("managed", "tolerated", "external", "observed")
KEY_TYPES = ("uuid", "text", "bigint")
QUALIFIED_NAME = re.compile(r"[^.\"\s\x00]{1,63}\.[^.\"\s\x00]{1,63}")


@dataclass(frozen=True, slots=True)
class Binding:
    """An adopted table: `table` as `schema.table`, spelled as PostgreSQL stores it.

    `columns` maps a model's field to the table's column. An adopted table is read only
    unless `writable`. Raises `SettingsError` for a key type that is none of uuid, text and
    bigint, and for a table without its schema.
    """

    table: str
    key: str = "id"
    key_type: str = "uuid"
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    writable: bool = False

    def __post_init__(self) -> None:
        if not QUALIFIED_NAME.fullmatch(self.table):
            raise SettingsError(
                f'The binding\'s table = "{self.table}" is not schema.table.',
                'Write both parts without quotes, such as table = "public.User".',
            )
        if self.key_type not in KEY_TYPES:
            raise SettingsError(
                f'The binding of {self.table} has key_type = "{self.key_type}".',
                f"Write one of {', '.join(KEY_TYPES)}.",
            )
        if not self.key or not all(self.columns.values()):
            raise SettingsError(
                f"The binding of {self.table} has an empty column name.",
                "Name the column, or leave the entry out.",
            )

    @property
    def schema(self) -> str:
        """The schema's name, unquoted."""
        return self.table.partition(".")[0]

    @property
    def name(self) -> str:
        """The table's name without its schema, unquoted."""
        return self.table.partition(".")[2]

    def column(self, field_name: str) -> str | None:
        """Return the host's column for one of our columns, or None where it has none."""
        return self.key if field_name == "id" else self.columns.get(field_name)


Bindings = Mapping[str, Binding]
