"""The book: every job that the enabled modules and the kernel declare, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedplate.kernel.errors import RegistryError
from bedplate.kernel.jobs import Job, Jobs, Periodic
from bedplate.kernel.lines import KERNEL_LINE
from bedplate.kernel.registry import Registry
from bedplate.operations.work.housekeeping import HOUSEKEEPING


@dataclass(frozen=True, slots=True)
class Book:
    """The jobs that a worker knows; it leaves all others alone."""

    jobs: Mapping[str, Job[Any]]
    periodic: tuple[Periodic, ...]

    @classmethod
    def of(cls, registry: Registry) -> Book:
        """Collect the jobs; raises RegistryError for a name used twice or of another module."""
        declared: list[tuple[str, Jobs]] = [(KERNEL_LINE.name, HOUSEKEEPING)]
        declared += [(manifest.name, manifest.jobs) for manifest in registry.ordered]
        jobs: dict[str, Job[Any]] = {}
        periodic: list[Periodic] = []
        for module, of_module in declared:
            for each in of_module:
                if isinstance(each, Periodic):
                    periodic.append(each)
                _add(jobs, module, each.job if isinstance(each, Periodic) else each)
        return cls(jobs, tuple(periodic))


def _add(jobs: dict[str, Job[Any]], module: str, job: Job[Any]) -> None:
    if not job.name.startswith(f"{module}."):
        raise RegistryError(
            f"The job {job.name} of module {module} bears another name.",
            f"Call it {module}.{job.name.rpartition('.')[2]}.",
        )
    if job.name in jobs:
        raise RegistryError(f"Two jobs are called {job.name}.", "Rename one.")
    jobs[job.name] = job
