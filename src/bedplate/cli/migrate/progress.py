"""What the runner logs while it works, such as how far a backfill is, said on stderr."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from bedplate.cli.output import Output
from bedplate.kernel.telemetry import logger


@contextmanager
def told_by(out: Output) -> Generator[None]:
    """Say what is logged inside this block, from INFO upward, in place of the log."""
    handler = _Notes(out)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.setLevel(level)
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, out: Output) -> None:
        super().__init__(logging.INFO)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        warning = "WARNING: " if record.levelno >= logging.WARNING else ""
        self._out.note(f"{warning}{record.getMessage()}")
