"""How the enabled modules hang together: who requires whom, which bridges stand, who hears what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bedplate.kernel.events import Subscription
from bedplate.kernel.registry import Registry


@dataclass(frozen=True, slots=True)
class Heard:
    """An event and the function that hears it."""

    event: str
    subscriber: str


@dataclass(frozen=True, slots=True)
class Node:
    """One module; `bridges` tells of each other module whether its bridge stands."""

    name: str
    package: str
    requires: tuple[str, ...]
    required_by: tuple[str, ...]
    bridges: Mapping[str, bool]
    hears: tuple[Heard, ...]


def graph(registry: Registry) -> tuple[Node, ...]:
    """Return every enabled module, those it builds on before it."""
    heard = [_heard(subscription) for subscription in registry.subscriptions()]
    needed = {each.name: registry.needed_by(each) for each in registry.ordered}
    return tuple(
        Node(
            name=manifest.name,
            package=manifest.package,
            requires=needed[manifest.name],
            required_by=tuple(name for name, those in needed.items() if manifest.name in those),
            bridges={other: other in registry.by_name for other in manifest.bridges},
            hears=tuple(
                each for each in heard if each.subscriber.startswith(f"{manifest.package}.")
            ),
        )
        for manifest in registry.ordered
    )


def document(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Return the graph for --json."""
    return {"modules": [asdict(node) for node in nodes]}


def tree(nodes: tuple[Node, ...]) -> str:
    """Draw the graph: each module with what it touches."""
    return "\n".join(line for node in nodes for line in _branch(node))


def _branch(node: Node) -> list[str]:
    twigs = [f"requires {name}" for name in node.requires]
    twigs += [f"required by {name}" for name in node.required_by]
    twigs += [
        f"bridge to {other}{'' if stands else ' (not enabled)'}"
        for other, stands in node.bridges.items()
    ]
    twigs += [f"hears {each.event} in {each.subscriber}" for each in node.hears]
    marks = ["├── "] * (len(twigs) - 1) + ["└── "]
    return [node.name, *(mark + twig for mark, twig in zip(marks, twigs, strict=False))]


def _heard(subscription: Subscription) -> Heard:
    subscriber: Any = subscription.subscriber
    return Heard(
        event=f"{subscription.event.__module__}.{subscription.event.__qualname__}",
        subscriber=f"{subscriber.__module__}.{subscriber.__qualname__}",
    )
