"""The list of exceptions is itself under a law: each entry says which law it bends and why."""

from __future__ import annotations

import pytest

from tests.house import exceptions


def test_every_exception_has_a_law_a_place_and_a_reason() -> None:
    for entry in exceptions.entries():
        assert set(entry) - {"limit"} == {"law", "place", "reason"}, entry
        assert len(entry["reason"]) > 20, f"say why: {entry}"


def test_an_exception_that_is_no_longer_needed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"law": "a law", "place": "a.py", "reason": "it was long once", "limit": 450}
    monkeypatch.setattr(exceptions, "entries", lambda: (entry,))
    exceptions.hold("a law", {"a.py": "wrong"}, why="a reason")
    exceptions.hold_limit("a law", {"a.py": 450}, limit=400, why="a reason")
    with pytest.raises(pytest.fail.Exception, match="obeys by now"):
        exceptions.hold("a law", {}, why="a reason")
    with pytest.raises(pytest.fail.Exception, match="obeys by now"):
        exceptions.hold_limit("a law", {"a.py": 400}, limit=400, why="a reason")
    with pytest.raises(pytest.fail.Exception, match="from 450 to 420"):
        exceptions.hold_limit("a law", {"a.py": 420}, limit=400, why="a reason")
    with pytest.raises(pytest.fail.Exception, match="at most 450"):
        exceptions.hold_limit("a law", {"a.py": 451}, limit=400, why="a reason")
