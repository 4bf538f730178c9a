"""One generic repository: the plain reads and writes of one model, one statement each.

A repository holds no connection; every verb takes a handle first, so the caller says whether it
runs alone (`db`) or in a transaction (`tx`).
"""

from bedplate.kernel.repository.writes import Repository

__all__ = ["Repository"]
