"""A check has a stable id; what it finds and how it runs is tried with the operation."""

from __future__ import annotations

import pytest

from bedplate.kernel.checks import Check
from bedplate.kernel.errors import UsageError


@pytest.mark.parametrize("id", ["auth.E001", "my_shop.W999", "a.E000"])
def test_an_id_names_its_module_and_says_error_or_warning(id: str) -> None:
    assert Check(id=id, title="t", query="SELECT 1", next_step="n").id == id


@pytest.mark.parametrize(
    "id", ["", "auth", "auth.001", "auth.E1", "Auth.E001", "auth.X001", "a.E0001"]
)
def test_another_id_is_refused(id: str) -> None:
    with pytest.raises(UsageError, match=r"is not like auth\.E001"):
        Check(id=id, title="t", query="SELECT 1", next_step="n")
