"""`bedplate demo`: kill clients and a server in the middle of the work, then recount."""

from __future__ import annotations

from bedplate.cli.demo.command import register

__all__ = ["register"]
