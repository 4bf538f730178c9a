"""Write the pages, or say which differ from the live catalog."""

from __future__ import annotations

from pathlib import Path

from bedplate import catalog
from bedplate.kernel.errors import DocumentStale
from bedplate.kernel.registry import Registry
from bedplate.operations.document.coverage import uncommented
from bedplate.operations.document.pages import MARK, Chapter, module_page, overview

OVERVIEW = "README.md"
"""What a repository's host shows for the folder; no module can have that name."""
NAMES_SHOWN_MAX = 10


def build(registry: Registry, url: str, folder: Path) -> tuple[Path, ...]:
    """Write a page per module and an overview; return the files that changed.

    The same catalog always gives the same bytes. A page of ours whose module is no longer enabled
    is removed; a file of another name that Bedplate did not generate is never touched.

    Raises DatabaseUnreachable or AuthenticationFailed, and OSError where the folder cannot be
    written.
    """
    pages, _ = _pages(registry, url)
    changed = _differing(pages, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in changed:
        if path.name in pages:
            path.write_text(pages[path.name], encoding="utf-8", newline="\n")
        else:
            path.unlink()
    return changed


def stale(registry: Registry, url: str, folder: Path) -> tuple[Path, ...]:
    """Return the files that build would write or remove; nothing is written."""
    pages, _ = _pages(registry, url)
    return _differing(pages, folder)


def check(registry: Registry, url: str, folder: Path) -> None:
    """Raise DocumentStale when a page is stale, or a table or column has no comment."""
    pages, bare = _pages(registry, url)
    if bare:
        raise DocumentStale(
            f"Without a comment: {_list(bare)}.", "Add comments in a revision, then build again."
        )
    paths = _differing(pages, folder)
    if paths:
        raise DocumentStale(
            f"Differs from the database: {_list(tuple(path.name for path in paths))}."
        )


def _pages(registry: Registry, url: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Each page by its file's name, and what lacks a comment."""
    lines = registry.lines
    with catalog.connect(url, purpose="docs") as connection:
        snapshot = catalog.read(connection, [line.schema for line in lines])
        versions = catalog.read_versions(connection, lines)
    chapters = [
        Chapter(line.name, versions[line.name].revision, schema)
        for line in lines
        # A schema of the same name that is not ours is none of our business to document.
        if not versions[line.name].foreign and (schema := snapshot.schema(line.schema))
    ]
    pages = {f"{chapter.name}.md": module_page(chapter) for chapter in chapters}
    pages[OVERVIEW] = overview(chapters)
    return pages, tuple(name for each in chapters for name in uncommented(each.schema))


def _differing(pages: dict[str, str], folder: Path) -> tuple[Path, ...]:
    found = {path.name: _text(path) for path in sorted(folder.glob("*.md"))}
    changed = {name for name, text in pages.items() if found.get(name) != text}
    left_over = {name for name, text in found.items() if name not in pages and MARK in text}
    return tuple(folder / name for name in sorted(changed | left_over))


def _text(path: Path) -> str:
    # Bytes that are not UTF-8 are not ours and differ from any page of ours.
    return path.read_bytes().decode("utf-8", errors="replace")


def _list(names: tuple[str, ...]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
