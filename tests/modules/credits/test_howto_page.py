"""The how-to page about credits does what it says, as one program."""

from __future__ import annotations

from bedplate.testing import Clone
from tests.asking import ask
from tests.reader import Reader


async def test_the_page_runs(reader: Reader, bedplate_clone: Clone) -> None:
    await reader.follow_async("docs/howto/use-credits.md", 'modules = ["auth", "credits"]')
    # 1 + 40 + 100 charged, 40 given back, of 100 + 500.
    remaining = ask(bedplate_clone, "SELECT credits_remaining FROM credits.credit_balances")
    assert remaining == [(499,)]
