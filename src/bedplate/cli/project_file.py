"""The list of modules in bedplate.toml: changed in place, comments and all else kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import cast

import tomlkit

from bedplate.kernel.errors import FolderNotWritable, SettingsError
from bedplate.kernel.settings import FILE, Settings, load

KEY = "modules"


def enable(settings: Settings, name: str) -> Settings:
    """Add a module to the list; the file is made where there is none.

    Raises FolderNotWritable, and SettingsError where another place fixes the modules.
    """
    return _write(settings, [*settings.modules, name])


def disable(settings: Settings, name: str) -> Settings:
    """Take a module off the list; raises what `enable` does."""
    return _write(settings, [each for each in settings.modules if each != name])


def _write(settings: Settings, names: Sequence[str]) -> Settings:
    """Replace the file at once and read the settings anew, which must say the same."""
    # A link stays a link: what it points at is replaced.
    path = (settings.folder / FILE).resolve()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        text = path.read_text("utf-8") if path.exists() else ""
        # The file may hold a password: the new one is no more open than the old one.
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(_changed(text, names))
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FolderNotWritable(
            f"{path} cannot be written: {error.strerror}.", "Make the folder writable."
        ) from None
    changed = load(settings.folder)
    if changed.modules != tuple(names):
        raise SettingsError(
            f"{FILE} was changed, but BEDPLATE_MODULES beats it.",
            "Change it in the environment or .env too, or unset it there.",
        )
    return changed


def _changed(text: str, names: Sequence[str]) -> str:
    """Return the file's text with another list; each kept entry keeps its line and comment."""
    document = tomlkit.parse(text)
    found = document.unwrap().get(KEY)
    if isinstance(found, list):
        # tomlkit's arrays are lists that remember how they were written.
        entries = cast("list[str]", document.item(KEY))
        for name in cast("list[str]", found):
            if name not in names:
                entries.remove(name)
        for name in names:
            if name not in found:
                entries.append(name)
    else:
        document[KEY] = list(names)
    return tomlkit.dumps(document)
