"""`bedplate module`: list, make, enable and disable modules, and see how they hang together."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Annotated

import typer

from bedplate.cli import project_file, scaffold
from bedplate.cli.graph import document, graph, tree
from bedplate.cli.opening import modules_of, settings_of
from bedplate.cli.options import Json, examples, group
from bedplate.cli.output import Output, table
from bedplate.cli.remains import filled_tables
from bedplate.kernel import registry
from bedplate.kernel.errors import ModuleMissing, UsageError
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings

app = group(
    "List, make, enable and disable modules, and see how they hang together.",
    short="List, make, enable, disable modules.",
    epilog=examples("bedplate module list", "bedplate module new shop.invoices"),
)

Name = Annotated[str, typer.Argument(help="A bare name is Bedplate's own, a dotted one yours.")]
Path = Annotated[str, typer.Argument(help="The import path, such as shop.invoices.")]


@app.command(
    "list",
    short_help="List enabled and available modules.",
    epilog=examples("bedplate module list", "bedplate module list --json"),
)
def list_modules(context: typer.Context, as_json: Json = False) -> None:
    """List the modules of this project, and those of Bedplate's that it could enable."""
    out = Output(as_json)
    settings = settings_of(context)
    enabled = modules_of(settings)
    modules = [
        {
            "name": manifest.name,
            "enabled": True,
            "package": manifest.package,
            "tables": len(manifest.models),
            "head": line.head,
        }
        for manifest, line in zip(enabled.ordered, enabled.lines[1:], strict=True)
    ]
    modules += [
        {"name": name, "enabled": False, "package": f"{registry.OUR_MODULES}.{name}"}
        for name in registry.available()
        if name not in enabled.by_name
    ]
    rows = [
        (
            each["name"],
            "enabled" if each["enabled"] else "available",
            each.get("head"),
            each["package"],
        )
        for each in modules
    ]
    out.result({"modules": modules}, table([("module", "state", "code", "package"), *rows]))


@app.command(
    short_help="Write a small module, and enable it.",
    epilog=examples("bedplate module new shop.invoices"),
)
def new(context: typer.Context, path: Path, as_json: Json = False) -> None:
    """Write a small working module into the project's folder, and enable it.

    Then edit its models.py, and run `bedplate migrate make` and `bedplate migrate apply`.
    """
    out = Output(as_json)
    settings = settings_of(context)
    name = scaffold.Names(path).module
    if name in modules_of(settings).by_name:
        raise UsageError(f"A module called {name} is enabled already.", "Choose another name.")
    made = scaffold.create(settings.folder, path)
    files = [str(file.relative_to(settings.folder)) for file in made]
    importlib.invalidate_caches()
    project_file.enable(settings, path)
    out.result(
        {"module": name, "package": path, "files": files},
        f"Made and enabled {path}:\n"
        + "".join(f"  {file}\n" for file in files)
        + f"\nEdit models.py, then run `bedplate migrate make {name}` and `… apply`.",
    )


@app.command(
    short_help="Enable a module.",
    epilog=examples("bedplate module enable credits", "bedplate module enable shop.orders"),
)
def enable(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Enable a module in bedplate.toml; its schema comes with the next `bedplate migrate apply`."""
    out = Output(as_json)
    settings = settings_of(context)
    was = name in settings.modules
    if not was:
        # Refused before the file is touched: no such module, or one that it requires is missing.
        modules_of(settings, (*settings.modules, name))
        project_file.enable(settings, name)
    said = f"{name} was enabled already." if was else f"Enabled {name}."
    out.result(
        {"module": name, "changed": not was}, f"{said} `bedplate migrate apply` makes its schema."
    )


@app.command(
    short_help="Disable a module; its data stays.",
    epilog=examples("bedplate module disable credits"),
)
def disable(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Disable a module in bedplate.toml. Its schema and rows stay; nothing is deleted."""
    out = Output(as_json)
    settings = settings_of(context)
    enabled = modules_of(settings)
    entry, manifest = _enabled(settings, enabled, name)
    (node,) = (node for node in graph(enabled) if node.name == manifest.name)
    if node.required_by:
        raise ModuleMissing(
            f"{', '.join(node.required_by)} requires {manifest.name}.", "Disable that one first."
        )
    others = [each for each in enabled.ordered if each is not manifest]
    idle = [name for name in settings.bind if not any(name in each.bindable for each in others)]
    bind = {name: each for name, each in settings.bind.items() if name not in idle}
    modules_of(
        replace(settings, bind=bind), tuple(each for each in settings.modules if each != entry)
    )
    kept = filled_tables(settings, manifest, out)
    project_file.disable(settings, entry)
    said = f"Disabled {entry}."
    if kept:
        said += f" These tables hold rows, and stay: {', '.join(kept)}."
    elif kept is None:
        said += " Its tables stay, if there are any: the database was not asked."
    if idle:
        sections = ", ".join(f"[bind.{name}]" for name in idle)
        said += f" Now remove {sections}: no module that is left has such a table."
    out.result(
        {"module": manifest.name, "changed": True, "tables_with_rows": kept, "idle_bindings": idle},
        said,
    )


@app.command(
    "graph",
    short_help="Show how the modules hang together.",
    epilog=examples("bedplate module graph", "bedplate module graph --json"),
)
def show_graph(context: typer.Context, as_json: Json = False) -> None:
    """Show who requires whom, which bridges stand, and who hears which event."""
    nodes = graph(modules_of(settings_of(context)))
    Output(as_json).result(document(nodes), tree(nodes))


def _enabled(settings: Settings, enabled: Registry, name: str) -> tuple[str, ModuleManifest]:
    """Return the entry of the list that enables a module, called by its name or import path."""
    for entry in settings.modules:
        path = entry if "." in entry else f"{registry.OUR_MODULES}.{entry}"
        for manifest in enabled.ordered:
            if manifest.package == path and name in (entry, path, manifest.name):
                return entry, manifest
    raise UsageError(f"{name} is not enabled.", "See `bedplate module list`.")
