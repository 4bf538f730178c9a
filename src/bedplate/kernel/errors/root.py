"""The root of every error."""

from __future__ import annotations

from typing import ClassVar


class BedplateError(Exception):
    """Something Bedplate refused or could not do; `str()` ends with the next step."""

    code: ClassVar[str] = "bedplate"
    advice: ClassVar[str] = ""

    def __init__(self, message: str, next_step: str = "") -> None:
        self.message = message
        self.next_step = next_step or self.advice
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".rstrip()
