"""Dated results of the large numbers: what was run, where, and what it showed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

PROOFS = Path(__file__).parents[1] / "docs" / "proofs"


def write(name: str, text: str, figures: Any) -> Path:
    """Write a proof for people (`.md`) and its figures for programs (`.json`)."""
    PROOFS.mkdir(exist_ok=True)
    # The day on which it ran, and not the one that a test's clock stands at.
    stem = f"{time.strftime('%Y-%m-%d', time.gmtime())}-{name}"
    (PROOFS / f"{stem}.json").write_text(json.dumps(figures, indent=1) + "\n")
    page = PROOFS / f"{stem}.md"
    page.write_text(text.rstrip() + "\n")
    return page
