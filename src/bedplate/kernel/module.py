"""The manifest: everything a module hands in. Built-in modules use the same one as yours."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from bedplate.kernel.checks import Check
from bedplate.kernel.errors import ModuleNotFound, RegistryError
from bedplate.kernel.events import Subscription
from bedplate.kernel.model import Model
from bedplate.kernel.sources import Parse
from bedplate.kernel.transaction import Transaction

if TYPE_CHECKING:
    from bedplate.kernel.jobs import Job, Periodic

Samples = Callable[[Transaction], Awaitable[int]]
"""Loads sample rows and returns how many; run twice it changes nothing."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class ModuleSettings(Protocol):
    """What a module's settings.py declares: a frozen dataclass, each of whose fields has a key."""

    KEYS: ClassVar[Mapping[str, Parse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleManifest:
    """One module: its models, its line of migrations, and what it adds to a project.

    `name` is also its PostgreSQL schema. `package` is its import path; the folder `migrations` in
    it holds its line. `requires` names the modules it builds on. `adoptable` says which models a
    project may bind to a host's tables, by binding name. `instead` says of a required module which
    of its adoptable models are all that is used of it: a project that binds every one of them need
    not enable it. `bridges` names the modules for which `package.bridges.<name>` has SUBSCRIPTIONS,
    and CHECKS if there are any; it is loaded when both are enabled. `settings` is a frozen
    dataclass with a default for every field and `KEYS`, which parses each of them; it is read from
    the table [name] of bedplate.toml and BEDPLATE_<NAME>_<KEY>, and `db.settings` hands it out.
    """

    name: str
    package: str
    models: tuple[type[Model], ...]
    requires: tuple[str, ...] = ()
    adoptable: Mapping[str, type[Model]] = field(default_factory=dict[str, type[Model]])
    instead: Mapping[str, Mapping[str, type[Model]]] = field(
        default_factory=dict[str, Mapping[str, type[Model]]]
    )
    checks: tuple[Check, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    bridges: tuple[str, ...] = ()
    samples: Samples | None = None
    jobs: tuple[Job[Any] | Periodic, ...] = ()
    settings: type[ModuleSettings] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RegistryError(
                f"The module name {self.name!r} is not a lower-case identifier.", "Rename it."
            )
        for other in self.instead.keys() - set(self.requires):
            raise RegistryError(
                f"The module {self.name} has tables instead of {other}, which it does not require.",
                "Name it in `requires` too.",
            )

    @property
    def bindable(self) -> dict[str, type[Model]]:
        """The models that a project with this module may bind: its own, and others' instead."""
        others = (models for models in self.instead.values())
        return {name: model for each in (*others, self.adoptable) for name, model in each.items()}

    @property
    def schema(self) -> str:
        """The PostgreSQL schema that holds the module's tables."""
        return self.name

    @property
    def line(self) -> Path:
        """The folder of the module's migrations; raises ModuleNotFound where there is none."""
        try:
            spec = importlib.util.find_spec(self.package)
        except ModuleNotFoundError:
            # A package inside of one that does not exist; a bare name gives None instead.
            spec = None
        places = list(spec.submodule_search_locations or []) if spec else []
        folder = Path(places[0]) / "migrations" if places else None
        if folder is None or not folder.is_dir():
            raise ModuleNotFound(
                f"The module {self.name} has no migrations folder in {self.package}.",
                "Create one, or run `bedplate module new`.",
            )
        return folder
