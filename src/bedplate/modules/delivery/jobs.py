"""The work of `delivery`: mail that is due, at once and from time to time."""

from __future__ import annotations

from datetime import timedelta

from bedplate.kernel.jobs import Periodic
from bedplate.modules.delivery.actions import DELIVER, sweep

JOBS = (DELIVER, Periodic(name="delivery.sweep", every=timedelta(seconds=30), run=sweep))
