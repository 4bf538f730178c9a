"""The examples of `docs/howto/test-your-app.md`, run as the tests that they are."""

from __future__ import annotations

import pytest

from bedplate.testing import Server
from tests.house.documents import blocks_of
from tests.house.source import ROOT

pytest_plugins = ["pytester"]

HOWTO = ROOT / "docs" / "howto" / "test-your-app.md"


def test_the_examples_pass(
    pytester: pytest.Pytester, bedplate_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEDPLATE_TEST_DATABASE_URL", bedplate_server.admin_url)
    examples = blocks_of(HOWTO, "python")
    tests = "\n\n".join(text for _, text in examples if "def test_" in text)
    pytester.makepyfile(tests)
    result = pytester.runpytest_subprocess("-o", "asyncio_mode=auto")
    result.assert_outcomes(passed=tests.count("def test_"))
