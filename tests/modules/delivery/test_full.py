"""The large numbers of mail: `pytest --full`, some minutes."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.modules.delivery import Mail, send
from bedplate.operations import checks
from bedplate.testing import Clone
from tests import proofs
from tests.asking import ask
from tests.modules.delivery.crew import CONCURRENCY, crew_of, kill_and_forget
from tests.modules.delivery.postmen import DROP_AFTERWARDS, PostOffice, a_mail, opened, statuses
from tests.modules.delivery.test_workers import SWEEP_NOW
from tests.world import CLIENTS

KEYS = 1_000
ASKED_TIMES = 3
KILLS = 15
LONGEST_S = 900.0

pytestmark = pytest.mark.full


@dataclass
class Weather:
    """A server that fails one in ten in every way there is, and bounces one in fifty addresses."""

    chance: random.Random
    broken_after: Counter[str] = field(default_factory=Counter)

    def at_rcpt(self, address: str) -> str | None:
        if address.startswith("gone-"):
            return "550 5.1.1 no such user"
        if self.chance.random() < 0.05:
            return self.chance.choice(("450 busy", "421 going down", "drop"))
        return None

    def at_data(self, address: str) -> str | None:
        luck = self.chance.random()
        if luck < 0.01:
            self.broken_after[address] += 1
            return DROP_AFTERWARDS
        return "451 later" if luck < 0.05 else None


def letters() -> list[Mail]:
    return [
        a_mail(to=f"{'gone' if number % 50 == 0 else 'here'}-{number}@example.com")
        for number in range(KEYS)
    ]


async def ask_for_all(db: Database, mails: list[Mail], chance: random.Random) -> int:
    """Every mail several times, by many clients at once; return how many ids were answered."""
    queue = mails * ASKED_TIMES
    chance.shuffle(queue)
    answered: dict[str, set[Any]] = {}

    async def client() -> None:
        while queue:
            mail = queue.pop()
            answered.setdefault(mail.dedupe_key, set()).add(await send(db, mail))

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    assert {len(each) for each in answered.values()} == {1}
    return len(answered)


async def test_mail_under_fire(bedplate_clone: Clone, tmp_path: Path) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    weather = Weather(random.Random(seed))
    with PostOffice(at_rcpt=weather.at_rcpt, at_data=weather.at_data) as post:
        db = opened(bedplate_clone, post.url)
        await db.open()
        began = time.monotonic()
        assert await ask_for_all(db, letters(), chance) == KEYS
        asked_s = time.monotonic() - began
        killed, seconds = await delivered(bedplate_clone, tmp_path, post, chance)
        await db.close()
    found = statuses(bedplate_clone)
    assert found == {"SENT": KEYS - KEYS // 50, "BOUNCED": KEYS // 50}
    accepted = post.ids()
    twice = sum(count - 1 for count in accepted.values())
    dropped = sum(weather.broken_after.values())
    tried, most = ask(
        bedplate_clone, "SELECT sum(retry_count), max(retry_count) FROM delivery.outgoing_mails"
    )[0]
    assert len(accepted) == KEYS - KEYS // 50
    assert twice <= dropped + killed * CONCURRENCY
    assert most < 10
    modules = registry.load(bedplate_clone.settings.modules)
    broken = [
        each.id
        for each in checks.run(modules, bedplate_clone.url)
        if each.id.startswith("delivery.") and not each.ok
    ]
    assert broken == []
    figures = {
        "keys": KEYS,
        "asked_times": ASKED_TIMES,
        "clients": CLIENTS,
        "workers": CLIENTS // CONCURRENCY,
        "at_once_each": CONCURRENCY,
        "killed": killed,
        "statuses": dict(found),
        "accepted_keys": len(accepted),
        "accepted_again": twice,
        "connections_broken_after_acceptance": dropped,
        "retries": int(tried),
        "most_retries": most,
        "checks_broken": broken,
        "asked_s": round(asked_s, 1),
        "delivered_s": round(seconds, 1),
        "seed": seed,
    }
    proofs.write("delivery", page(figures), figures)


async def delivered(
    clone: Clone, folder: Path, post: PostOffice, chance: random.Random
) -> tuple[int, float]:
    """Let worker processes deliver it all, and kill some; return how many, and the seconds."""
    began = time.monotonic()
    killed = 0
    over = "SELECT count(*) FROM delivery.outgoing_mails WHERE state = 'SUCCEEDED'"
    with crew_of(clone, folder, post.url) as crew:
        for _ in range(CLIENTS // CONCURRENCY):
            crew.start()
        while (done := ask(clone, over)[0][0]) < KEYS:
            assert time.monotonic() - began < LONGEST_S, crew.logs()
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            ask(clone, SWEEP_NOW)
            if killed < KILLS and done < KEYS - 100:
                kill_and_forget(crew, chance.choice(crew.pids))
                crew.start()
                killed += 1
    return killed, time.monotonic() - began


def page(figures: dict[str, Any]) -> str:
    return f"""# Mail under fire

Run by `pytest --full`; {platform.machine()}, {os.cpu_count()} CPUs, Python \
{platform.python_version()}, a real SMTP server in the same machine.

{figures["keys"]:,} mails, each asked for {figures["asked_times"]} times by {figures["clients"]} \
clients at once; {figures["workers"]} worker processes of {figures["at_once_each"]} jobs at once \
each, {figures["killed"]} of them killed with SIGKILL at random (seed {figures["seed"]}). The \
server failed one in ten: 4xx, broken connections before and after it had taken the mail; one \
address in fifty does not exist.

| | |
|---|---|
| mails under one key | 1, for every key |
| `SENT` / `BOUNCED` / anything else | {figures["statuses"]["SENT"]:,} / \
{figures["statuses"]["BOUNCED"]:,} / 0 |
| keys that the server accepted | {figures["accepted_keys"]:,} |
| accepted once more, under the same Message-ID | {figures["accepted_again"]} |
| of connections broken after acceptance, and workers killed | \
{figures["connections_broken_after_acceptance"]}, {figures["killed"]} |
| retries in all, most for one mail (of 9) | {figures["retries"]:,}, {figures["most_retries"]} |
| laws of `bedplate check` broken | {len(figures["checks_broken"])} |
| asked for in, delivered in | {figures["asked_s"]} s, {figures["delivered_s"]} s |
"""
