"""The registry: the enabled modules in an order that works, or the reason why there is none."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from bedplate.kernel.checks import Check
from bedplate.kernel.errors import (
    ModuleCycle,
    ModuleMissing,
    ModuleNotFound,
    OutdatedLine,
    RegistryError,
    SettingsError,
)
from bedplate.kernel.events import Subscription
from bedplate.kernel.lines import KERNEL_LINE, Line, lines_of
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.sources import Parse, Source, unknown

OUR_MODULES = "bedplate.modules"
"""Where a bare module name is looked up."""


class Registry:
    """Enabled modules in topological order; raises a RegistryError that says how to mend them.

    `bound` names the tables that the project binds to a host's; SettingsError for one that no
    enabled module offers.
    """

    def __init__(self, manifests: Iterable[ModuleManifest], bound: Iterable[str] = ()) -> None:
        self.bound = frozenset(bound)
        self.by_name: dict[str, ModuleManifest] = {}
        for manifest in manifests:
            if manifest.name in self.by_name or manifest.name == KERNEL_LINE.name:
                raise RegistryError(
                    f"Two modules are called {manifest.name}.",
                    "Rename one: a module's name is its PostgreSQL schema.",
                )
            self.by_name[manifest.name] = manifest
        self.ordered = tuple(self._ordered())
        offered = set(self.adoptable.values())
        for name in sorted(self.bound - offered):
            raise SettingsError(
                f"[bind.{name}] binds a table that no enabled module offers.",
                f"Bind one of: {', '.join(sorted(offered)) or 'none'}; or remove the section.",
            )

    @property
    def adoptable(self) -> dict[str, str]:
        """Tables a project may bind, as `auth.users` -> `users`."""
        return {
            str(model.__table__): name
            for manifest in self.ordered
            for name, model in manifest.bindable.items()
        }

    def needed_by(self, manifest: ModuleManifest) -> tuple[str, ...]:
        """Return the modules that one cannot do without: not those whose tables are bound."""
        return tuple(
            name
            for name in manifest.requires
            if name not in manifest.instead or not manifest.instead[name].keys() <= self.bound
        )

    def settings(self, sections: Mapping[str, Mapping[str, Source]]) -> dict[type[Any], Any]:
        """Return every module's settings by their type; raises SettingsError naming the key."""
        found: dict[type[Any], Any] = {}
        for manifest in self.ordered:
            declared: Any = manifest.settings
            written = sections.get(manifest.name, {})
            keys: Mapping[str, Parse] = declared.KEYS if declared is not None else {}
            for key, source in written.items():
                if key not in keys:
                    raise unknown(source.key, source.place, keys)
            if declared is not None:
                values = {key: keys[key](source) for key, source in written.items()}
                found[declared] = declared(**values)
        return found

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return who hears which event: modules' own, then bridges between enabled modules."""
        found: list[Subscription] = []
        for manifest in self.ordered:
            found += manifest.subscriptions
            for bridge in self._bridges(manifest):
                found += bridge.SUBSCRIPTIONS
        return tuple(found)

    def checks(self) -> tuple[Check, ...]:
        """Return the modules' laws, and those that a bridge adds where both are enabled."""
        found: list[Check] = []
        for manifest in self.ordered:
            found += manifest.checks
            for bridge in self._bridges(manifest):
                found += getattr(bridge, "CHECKS", ())
        return tuple(found)

    def _bridges(self, manifest: ModuleManifest) -> list[ModuleType]:
        enabled = [other for other in manifest.bridges if other in self.by_name]
        return [importlib.import_module(f"{manifest.package}.bridges.{other}") for other in enabled]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The kernel's line, then each module's, in the order in which they are applied."""
        return lines_of(self.ordered)

    def require_current(self, versions: Mapping[str, str | None]) -> None:
        """Refuse a database whose lines (by schema) are not the code's; raises OutdatedLine."""
        for line in self.lines:
            version = versions.get(line.schema)
            if line.pending(version):
                raise OutdatedLine(
                    f"The database's {line.schema} is at {version or 'nothing'}; "
                    f"the code needs {line.head}."
                )

    def _ordered(self) -> Iterable[ModuleManifest]:
        done: dict[str, ModuleManifest] = {}
        for name in self.by_name:
            self._visit(name, done, ())
        return done.values()

    def _visit(self, name: str, done: dict[str, ModuleManifest], path: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise ModuleCycle(f"Modules require one another in a circle: {circle}.", "Cut it.")
        manifest = self.by_name.get(name)
        if manifest is None:
            raise self._missing(name, self.by_name[path[-1]])
        needed = self.needed_by(manifest)
        for required in manifest.requires:
            # What is enabled without being needed still comes first: one order for one set.
            if required in needed or required in self.by_name:
                self._visit(required, done, (*path, name))
        done[name] = manifest

    def _missing(self, name: str, by: ModuleManifest) -> ModuleMissing:
        told = f"The module {by.name} requires {name}, which is not enabled"
        command = f"Run `bedplate module enable {name}`"
        unbound = sorted(by.instead.get(name, {}).keys() - self.bound)
        if not unbound:
            return ModuleMissing(f"{told}.", f"{command}.")
        sections = ", ".join(f"[bind.{each}]" for each in unbound)
        return ModuleMissing(
            f"{told}; nor are the tables it takes instead all bound: {', '.join(unbound)}.",
            f"{command}, or bind your own in bedplate.toml: {sections}.",
        )


def load(names: Iterable[str], folder: Path | None = None, bound: Iterable[str] = ()) -> Registry:
    """Import the named modules: a bare name is ours, a dotted one an import path.

    A project's own modules lie in its folder, from wherever the program was started. `bound` names
    the tables that it binds to a host's.
    """
    # At the end, so that a file of the project's never stands in for a package that is installed.
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return Registry([_manifest(name) for name in names], bound)


def _manifest(name: str) -> ModuleManifest:
    path = name if "." in name else f"{OUR_MODULES}.{name}"
    try:
        package = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        raise ModuleNotFound(f"There is no module {name!r}.", _suggestion(name)) from None
    manifest = getattr(package, "MODULE", None)
    if not isinstance(manifest, ModuleManifest):
        raise ModuleNotFound(
            f"The package {path} has no MODULE.", "Give it a ModuleManifest of that name."
        )
    return manifest


def available() -> tuple[str, ...]:
    """Return the names of the modules that come with Bedplate."""
    spec = importlib.util.find_spec(OUR_MODULES)
    places = list(spec.submodule_search_locations or []) if spec else []
    return tuple(
        sorted(path.parent.name for place in places for path in Path(place).glob("*/module.py"))
    )


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, available(), n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return "See `bedplate module list`; a module of your own is named by its import path."
