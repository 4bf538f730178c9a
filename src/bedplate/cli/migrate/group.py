"""The group of commands itself: each verb has a file, and registers here."""

from __future__ import annotations

from bedplate.cli.migrate import (
    apply,
    baseline,
    diff,
    history,
    lint,
    make,
    plan,
    prove,
    receipts,
    reset,
    sql,
    squash,
    status,
    undo,
)
from bedplate.cli.options import examples, group

app = group(
    "Bring every module's schema to its newest revision, or see where each stands.",
    short="Bring schemas to their newest revision.",
    epilog=examples("bedplate migrate status", "bedplate migrate apply"),
)
for verb in (
    make,
    lint,
    plan,
    prove,
    apply,
    undo,
    status,
    history,
    receipts,
    diff,
    sql,
    baseline,
    squash,
    reset,
):
    verb.register(app)
