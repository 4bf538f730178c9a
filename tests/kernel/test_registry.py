"""The registry: enabled modules in an order that works, or an error that says how to mend it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.kernel.errors import (
    ModuleCycle,
    ModuleMissing,
    ModuleNotFound,
    OutdatedLine,
    RegistryError,
    SettingsError,
)
from bedplate.kernel.events import Event, Subscription
from bedplate.kernel.lines import KERNEL_LINE
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.registry import Registry
from bedplate.kernel.sources import Source, between
from bedplate.kernel.versions import versions
from bedplate.modules.auth import MODULE as AUTH
from bedplate.modules.mining import MODULE as MINING
from bedplate.modules.mining import CostPayment, Miner
from bedplate.project import database
from tests.shop import MODULE as SHOP
from tests.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened(Event):
    """Something happened."""


def module(name: str, *requires: str, **parts: Any) -> ModuleManifest:
    parts.setdefault("package", "bedplate.modules.auth")
    return ModuleManifest(name=name, models=(), requires=requires, **parts)


def names(found: Registry) -> list[str]:
    return [manifest.name for manifest in found.ordered]


def test_what_is_required_comes_first_however_it_was_named() -> None:
    a, b, c = module("a"), module("b", "a"), module("c", "a", "b")
    for order in ((a, b, c), (c, b, a), (b, c, a)):
        assert names(Registry(order)) == ["a", "b", "c"]
    assert names(Registry([])) == []


def test_a_circle_is_drawn() -> None:
    with pytest.raises(ModuleCycle, match="a -> b -> c -> a"):
        Registry([module("a", "b"), module("b", "c"), module("c", "a")])
    with pytest.raises(ModuleCycle, match="a -> a"):
        Registry([module("a", "a")])


def test_a_gap_is_told_with_the_command_that_fills_it() -> None:
    with pytest.raises(ModuleMissing, match="`bedplate module enable auth`"):
        Registry([SHOP])


def test_two_modules_of_one_name_are_refused_and_so_is_ours() -> None:
    with pytest.raises(RegistryError, match="Two modules are called a"):
        Registry([module("a"), module("a")])
    with pytest.raises(RegistryError, match="Two modules are called bedplate"):
        Registry([module("bedplate")])


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "my-shop", "x" * 42])
def test_a_name_that_is_no_schema_is_refused(name: str) -> None:
    with pytest.raises(RegistryError, match="lower-case identifier"):
        module(name)


def test_modules_are_loaded_by_bare_name_or_import_path() -> None:
    loaded = registry.load(["tests.shop", "auth"])
    assert loaded.ordered == (AUTH, SHOP)
    assert "auth" in registry.available()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("auht", "Did you mean auth"),
        ("nowhere_near", "named by its import path"),
        ("tests.nothing", "There is no module 'tests.nothing'"),
        ("tests.kernel", "has no MODULE"),
    ],
)
def test_a_module_that_is_not_there_is_told_with_what_may_be_meant(name: str, told: str) -> None:
    with pytest.raises(ModuleNotFound, match=told):
        registry.load([name])


def test_an_import_that_fails_inside_a_module_is_not_hidden(tmp_path: Path) -> None:
    """It is there; what is missing is something else."""
    (tmp_path / "broken_module.py").write_text("import not_installed_anywhere\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
            registry.load(["broken_module.x"])
    sys.modules.pop("broken_module", None)


def test_a_module_without_migrations_says_so() -> None:
    with pytest.raises(ModuleNotFound, match="`bedplate module new`"):
        module("a", package="tests.kernel").line  # noqa: B018
    assert AUTH.line.is_dir()


def test_what_may_be_adopted_is_known_by_its_binding_name() -> None:
    loaded = Registry([AUTH, SHOP])
    assert loaded.adoptable == {"auth.users": "users"}
    assert Registry([AUTH, SHOP], ["users"]).bound == {"users"}
    with pytest.raises(SettingsError, match=r"\[bind\.orders\].*Bind one of: users"):
        Registry([AUTH, SHOP], ["orders"])


TABLES_OF_MINING = {"miners": Miner, "cost_payments": CostPayment}


def biller() -> ModuleManifest:
    return module("biller", "auth", "mining", instead={"mining": TABLES_OF_MINING})


def test_a_module_whose_tables_are_bound_need_not_be_enabled() -> None:
    alone = Registry([biller(), AUTH], ["miners", "cost_payments"])
    assert names(alone) == ["auth", "biller"]
    assert alone.needed_by(biller()) == ("auth",)
    assert alone.adoptable == {
        "auth.users": "users",
        "mining.miners": "miners",
        "mining.cost_payments": "cost_payments",
    }


def test_where_it_is_enabled_it_still_comes_first() -> None:
    for bound in ((), ("miners",), ("miners", "cost_payments", "spaces", "users")):
        for order in ((biller(), MINING, AUTH), (AUTH, MINING, biller())):
            assert names(Registry(order, bound)) == ["auth", "mining", "biller"]


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ((), r"all bound: cost_payments, miners\..*\[bind\.cost_payments\], \[bind\.miners\]"),
        (
            ("cost_payments", "users"),
            r"all bound: miners\. .*enable mining`, or .*: \[bind\.miners\]",
        ),
    ],
)
def test_neither_the_module_nor_all_its_tables(bound: tuple[str, ...], told: str) -> None:
    with pytest.raises(ModuleMissing, match=f"biller requires mining.*{told}"):
        Registry([biller(), AUTH], bound)


def test_what_it_does_not_use_of_that_module_is_not_offered() -> None:
    with pytest.raises(SettingsError, match=r"\[bind\.spaces\].*cost_payments, miners, users"):
        Registry([biller(), AUTH], ["miners", "cost_payments", "spaces"])


def test_tables_are_taken_instead_of_a_required_module_only() -> None:
    with pytest.raises(RegistryError, match="does not require"):
        module("biller", "auth", instead={"mining": TABLES_OF_MINING})


def test_subscriptions_come_in_the_order_of_the_modules() -> None:
    async def hear(tx: Any, event: Any) -> None: ...

    async def listen(tx: Any, event: Any) -> None: ...

    one, two = Subscription(Happened, hear), Subscription(Happened, listen)
    found = Registry(
        [module("b", "a", subscriptions=(two,)), module("a", subscriptions=(one,))]
    ).subscriptions()
    assert found == (one, two)


def test_a_bridge_is_loaded_only_when_both_its_modules_are_enabled(tmp_path: Path) -> None:
    package = tmp_path / "bridged"
    (package / "bridges").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "bridges" / "__init__.py").write_text("")
    (package / "bridges" / "other.py").write_text("SUBSCRIPTIONS = ('heard',)\n")
    bridged = module("bridged", package="bridged", bridges=("other",))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        assert Registry([bridged]).subscriptions() == ()
        assert Registry([bridged, module("other")]).subscriptions() == ("heard",)
    for name in [name for name in sys.modules if name.startswith("bridged")]:
        sys.modules.pop(name)


def test_the_kernels_line_goes_before_every_modules() -> None:
    assert [line.name for line in Registry([AUTH, SHOP]).lines] == ["bedplate", "auth", "shop"]


def test_a_database_behind_or_ahead_of_the_code_is_refused() -> None:
    loaded = Registry([AUTH])
    current: dict[str, str | None] = {line.schema: line.head for line in loaded.lines}
    loaded.require_current(current)
    with pytest.raises(OutdatedLine, match=f"auth is at nothing; the code needs {AUTH_HEAD}"):
        loaded.require_current({**current, "auth": None})
    with pytest.raises(OutdatedLine, match="auth is at 9999_later, which this code does not have"):
        loaded.require_current({**current, "auth": "9999_later"})
    with pytest.raises(OutdatedLine, match="bedplate is at nothing"):
        loaded.require_current({})


AUTH_HEAD = Registry([AUTH]).lines[-1].head


def test_the_versions_of_a_database_are_read_as_the_app(world: World) -> None:
    async def body(db: Database) -> dict[str, str | None]:
        return await versions(db, ["bedplate", "auth", "shop", "nothing"])

    assert world.run(body(world.db)) == {
        "bedplate": KERNEL_LINE.head,
        "auth": AUTH_HEAD,
        "shop": "0001_shop",
        "nothing": None,
    }
    assert world.run(versions(world.db, ["nothing"])) == {"nothing": None}
    assert world.run(versions(world.db, [])) == {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Settings of a module."""

    size: int = 1

    KEYS: ClassVar[dict[str, Any]] = {"size": between(1, 9)}


def test_a_modules_settings_are_read_by_its_own_keys() -> None:
    found = Registry([module("a", settings=Sized)])
    assert found.settings({}) == {Sized: Sized()}
    assert found.settings({"a": {"size": Source("a.size", "here", "7")}}) == {Sized: Sized(size=7)}
    for key, value in (("size", 10), ("sise", 3)):
        with pytest.raises(SettingsError) as refused:
            found.settings({"a": {key: Source(f"a.{key}", "here", value)}})
        assert f"a.{key}" in refused.value.message
    with pytest.raises(SettingsError):
        Registry([module("a")]).settings({"a": {"size": Source("a.size", "here", 1)}})


def test_a_database_hands_out_modules_settings(bedplate_clone: Any) -> None:
    sections = {"a": {"size": Source("a.size", "here", 7)}}
    settings = replace(bedplate_clone.settings, sections=sections)
    made = database(settings, Registry([module("a", settings=Sized)]), bedplate_clone.url)
    assert made.settings(Sized) == Sized(size=7)
    plain = database(bedplate_clone.settings, Registry([]), bedplate_clone.url)
    assert plain.settings(Sized) == Sized()
