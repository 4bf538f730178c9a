"""The demo from its first act to the recount."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bedplate.cli.demo.business import Business, do_business
from bedplate.cli.demo.crew import Client, Crew, crew_in
from bedplate.cli.demo.errands import Errand, Orders, planned
from bedplate.cli.demo.recount import Recount, naive_loss, recount
from bedplate.cli.demo.stage import Stage, set_stage
from bedplate.kernel import clock

MODULES = ("auth", "credits", "mining", "accounting")
CLIENTS = 16
PROCESSES = 4
# Nothing is killed any more when the keys are asked again: fewer processes start sooner.
LATER_PROCESSES = 2
ERRANDS = 1_600
GRANT = 700
SEED = 16
# When to kill, as shares of the errands done.
CLIENT_DIES_AT = 0.3
SERVER_DIES_AT = 0.6

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done to the clients or the server, and when."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """Everything the demo has to show; `naive_*` are credits."""

    recount: Recount
    naive_charged: int
    naive_deducted: int
    people: dict[UUID, str]
    happenings: tuple[Happening, ...]
    replayed: int
    business: Business
    seconds: float

    @property
    def ok(self) -> bool:
        """Tell whether both acts add up."""
        return self.recount.ok and self.business.ok

    def as_dict(self) -> dict[str, object]:
        """Return the document of --json."""
        found = self.recount
        return {
            "ok": self.ok,
            "postgres": found.postgres,
            "modules": list(MODULES),
            "acknowledged": found.acknowledged,
            "recorded": found.recorded,
            "balance_delta": found.balance_delta,
            "violations": found.violations,
            "naive": {"charged": self.naive_charged, "deducted": self.naive_deducted},
            "accounting": self.business.as_dict(
                sum(broken.startswith(("accounting.", "mining.")) for broken in found.broken)
            ),
            "seconds": self.seconds,
        }


@dataclass
class Play:
    """One performance on a stage."""

    stage: Stage
    crew: Crew
    note: Note
    happenings: list[Happening] = field(default_factory=list[Happening])

    def happened(self, text: str) -> None:
        """Write down what was just done, and say so."""
        self.happenings.append(Happening(clock.now(), text))
        self.note(text)

    def start(
        self, errands: Sequence[Errand], processes: int, *, naive: bool = False
    ) -> list[Client]:
        """Deal the errands to so many client processes, which have 16 clients together."""
        return [
            self.crew.start(
                Orders(
                    url=self.stage.url,
                    clients=CLIENTS // processes,
                    errands=tuple(errands[hand::processes]),
                    is_naive=naive,
                )
            )
            for hand in range(processes)
        ]

    def under_fire(self, load: Sequence[Errand]) -> None:
        """Do the errands while a client process and the server are killed."""
        errands = len(load)
        clients = self.start(load, PROCESSES)
        self.crew.wait_for_lines(clients, int(errands * CLIENT_DIES_AT))
        victim = clients.pop()
        self.crew.kill(victim)
        self.happened(
            f"Killed a client process (SIGKILL) after {victim.lines():,} answers; "
            "another asks all its keys again"
        )
        clients.append(self.crew.start(victim.orders))
        self.crew.wait_for_lines(clients[-1:], 1)
        self.crew.wait_for_lines(clients, int(errands * SERVER_DIES_AT))
        pid = self.stage.kill_server()
        self.happened(f"Killed the server (SIGKILL, process {pid}); its clients keep asking")
        self.stage.start_server()
        self.happened("The server recovered and answers again")
        self.crew.wait(clients)


def perform(note: Note, errands: int = ERRANDS) -> Told:
    """Play the whole demo and recount; raises ClientFailed or an EmbeddedError."""
    started = clock.nanoseconds()
    note(f"Starting a throwaway PostgreSQL with the modules {', '.join(MODULES)} ...")
    with set_stage(modules=MODULES) as stage, crew_in(stage.folder) as crew:
        people = stage.people(GRANT)
        stage.copy_for_the_naive()
        play = Play(stage, crew, note)
        load = planned(random.Random(SEED), list(people), errands)
        note(f"{CLIENTS} clients charge, refund and hold {errands:,} times ...")
        play.under_fire(load)
        note("Asking every key once more ...")
        again = play.start(load, LATER_PROCESSES)
        crew.wait(again)
        answers = [answer for client in crew.clients for answer in client.answers()]
        note("The same charges by the plan's own deductCredits, on tables of its own ...")
        crew.wait(play.start(load, LATER_PROCESSES, naive=True))
        note("Half a year of invoices by workers in parallel; one of them is killed ...")
        business = do_business(stage, crew)
        note("Recounting ...")
        with stage.project() as project:
            found = recount(project, stage.url, answers)
            charged, deducted = naive_loss(project)
        replayed = sum(answer.replayed for client in again for answer in client.answers())
    return Told(
        recount=found,
        naive_charged=charged,
        naive_deducted=deducted,
        people=people,
        happenings=tuple(play.happenings),
        replayed=replayed,
        business=business,
        seconds=round((clock.nanoseconds() - started) / 1e9, 1),
    )
