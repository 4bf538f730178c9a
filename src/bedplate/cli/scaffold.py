"""`bedplate module new`: the compulsory names of a module, small, working, to be edited."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from bedplate.kernel.errors import FolderNotWritable, UsageError

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Names:
    """What a module's import path becomes: shop.invoices gives table invoices, class Invoice."""

    path: str

    @property
    def module(self) -> str:
        """The module's name: its schema and first table too."""
        return self.path.rpartition(".")[2]

    @property
    def row(self) -> str:
        """What one row is called."""
        name = self.module
        return name[:-1] if len(name) > 3 and name.endswith("s") and name[-2] != "s" else name

    @property
    def model(self) -> str:
        """The first model's class."""
        return "".join(part.capitalize() for part in self.row.split("_"))


def create(folder: Path, path: str) -> tuple[Path, ...]:
    """Write the module's package below the project's folder; return its files.

    Raises UsageError for a path that cannot be one or that exists, and FolderNotWritable.
    """
    names = Names(_checked(folder, path))
    package = folder.joinpath(*path.split("."))
    if package.exists():
        raise UsageError(f"{package} exists.", "Choose another name; nothing was changed.")
    files = {package / name: _fill(text, names) for name, text in FILES.items()}
    files[package / "migrations" / f"0001_{names.module}.py"] = _fill(REVISION, names)
    for parent in package.relative_to(folder).parents:
        if parent.parts and not (folder / parent / "__init__.py").exists():
            files[folder / parent / "__init__.py"] = f'"""Modules of {parent.parts[0]}."""\n'
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderNotWritable(
            f"{error.filename} cannot be written: {error.strerror}.", "Make the folder writable."
        ) from None
    return tuple(sorted(files))


def _checked(folder: Path, path: str) -> str:
    parts = path.split(".")
    if len(parts) < 2:
        raise UsageError(
            f"{path!r} is a bare name, and those are Bedplate's own.",
            f"Give an import path of two parts or more, such as shop.{path}.",
        )
    for part in parts:
        if not NAME.fullmatch(part) or keyword.iskeyword(part):
            raise UsageError(
                f"{part!r} in {path!r} is no lower-case name.",
                "Use letters, digits and _, as in shop.invoices.",
            )
    if parts[-1].startswith("pg_") or parts[-1] in ("bedplate", "public"):
        raise UsageError(
            f"{parts[-1]!r} would be the module's schema, and PostgreSQL or Bedplate has it.",
            "Choose another name.",
        )
    spec = importlib.util.find_spec(parts[0])
    places = [Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()]
    if spec and (folder / parts[0]).resolve() not in places:
        raise UsageError(
            f"Python already has a package {parts[0]!r} elsewhere ({spec.origin}).",
            "Choose another first part.",
        )
    return path


def _fill(text: str, names: Names) -> str:
    for mark, value in (
        ("PATH", names.path),
        ("MODULE_NAME", names.module),
        ("MODEL", names.model),
        ("ROW", names.row),
    ):
        text = text.replace(f"<{mark}>", value)
    return text


FACE = '''\
"""<MODEL>s: say here in one sentence what the module is for."""

from <PATH>.actions import create_<ROW>
from <PATH>.models import <MODEL>
from <PATH>.module import MODULE

__all__ = ["MODULE", "<MODEL>", "create_<ROW>"]
'''

MANIFEST = '''\
"""The manifest of `<MODULE_NAME>`: what the module hands in."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from <PATH>.models import <MODEL>

MODULE = ModuleManifest(
    name="<MODULE_NAME>",
    package="<PATH>",
    models=(<MODEL>,),
)
'''

MODELS = '''\
"""The tables of `<MODULE_NAME>`."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel.columns import Identified, Timestamped
from bedplate.kernel.model import Model


class <MODEL>(Identified, Timestamped, Model):
    """Say here what one row is."""

    __tablename__ = "<MODULE_NAME>"
    __table_args__ = {"schema": "<MODULE_NAME>", "comment": "Say here what one row is."}

    title: Mapped[str] = mapped_column(comment="What it is called.")
'''

ACTIONS = '''\
"""The verbs of `<MODULE_NAME>` that write; only the edge commits."""

from __future__ import annotations

from bedplate.kernel.repository import Repository
from bedplate.kernel.transaction import Transaction
from <PATH>.models import <MODEL>

repository = Repository(<MODEL>)


async def create_<ROW>(tx: Transaction, title: str) -> <MODEL>:
    """Create one, in the caller's transaction."""
    return await repository.create(tx, <MODEL>(title=title))
'''

README = """\
# <MODULE_NAME>

Say here what the module is for.

```python
from bedplate import Project
from <PATH> import create_<ROW>

async with await Project.open() as project:
    async with project.db.transaction() as tx:
        created = await create_<ROW>(tx, "the first")
```
"""

REVISION = '''\
"""The first table of `<MODULE_NAME>`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bedplate.kernel import lines

revision = "0001_<MODULE_NAME>"
down_revision = None


def upgrade() -> None:
    """Create the table, and let the app's role use it."""
    op.create_table(
        "<MODULE_NAME>",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Key (UUIDv7)."),
        sa.Column("title", sa.String, nullable=False, comment="What it is called."),
        _moment("created_at", "When the row was made."),
        _moment("updated_at", "When the row was last changed."),
        schema="<MODULE_NAME>",
        comment="Say here what one row is.",
    )
    lines.grant("<MODULE_NAME>")


def downgrade() -> None:
    """Drop what upgrade() made."""
    op.drop_table("<MODULE_NAME>", schema="<MODULE_NAME>")


def _moment(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=sa.text("bedplate.now()"),
        nullable=False,
        comment=comment,
    )
'''

FILES = {
    "__init__.py": FACE,
    "module.py": MANIFEST,
    "models.py": MODELS,
    "actions.py": ACTIONS,
    "README.md": README,
}
