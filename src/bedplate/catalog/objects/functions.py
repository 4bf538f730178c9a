"""Functions, procedures and aggregates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedplate.catalog.objects.grants import Grant

FunctionKind = Literal["function", "procedure", "aggregate", "window function"]


@dataclass(frozen=True, slots=True)
class Function:
    """One function, procedure or aggregate; `signature` is its arguments' types alone."""

    name: str
    arguments: str
    returns: str
    definition: str
    comment: str | None
    kind: FunctionKind
    signature: str
    owner: str
    grants: tuple[Grant, ...] = ()
