"""What a revision's file says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.kernel.footprint import Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of a line, read from its file and not run.

    `sha256` is that of the file. `transactional` is False where the file says
    `transactional = False`: its statements then commit one by one. `irreversible` is the reason
    the file gives for having no way back (`irreversible = "…"`), None where it has one.
    """

    line: str
    name: str
    summary: str
    sha256: str
    touches: Footprint
    transactional: bool
    irreversible: str | None
    has_downgrade: bool
