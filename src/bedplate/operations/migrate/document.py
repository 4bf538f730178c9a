"""The whole of a receipt, as it is stored in the books."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bedplate.kernel import clock
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.touch import Touch

DECLARED = ("rows", "rewritten", "shape", "behaviour")


def document(
    step: Step, revision: Revision, receipt: Receipt, touches: Sequence[Touch], started_ns: int
) -> dict[str, Any]:
    """Return the receipt with what was declared, every touch, and how long the revision took.

    `started_ns` is what `clock.nanoseconds` said when the watch began.
    """
    added = [each for each in touches if each.verdict == "additive"]
    rest = [each for each in touches if each.verdict != "additive"]
    return {
        **receipt.as_dict(),
        "direction": step.direction,
        "before": step.before,
        "after": step.after,
        "sha256": revision.sha256,
        "declared": {field: list(getattr(revision.touches, field)) for field in DECLARED},
        "touched": [
            {"verdict": e.verdict, "kind": e.kind, "name": e.name, "count": e.count} for e in rest
        ],
        "added": [[each.kind, each.name] for each in added],
        "caveats": list(receipt.caveats),
        "duration_ms": round((clock.nanoseconds() - started_ns) / 1e6, 3),
    }
