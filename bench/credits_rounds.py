"""The credits works: the same charge by every contestant, and a recount at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bench import credits_data
from bench.credits_data import Holders, Lost
from bench.processes import CommandFailed, Worker
from bench.rounds import CLIENTS, CONNECTIONS, Plan, Results, race
from bench.server import Server

COSTS = {
    "cost_update": "bare UPDATE of the balance",
    "cost_history": "and a history row, unique by its key",
    "cost_key": "and the account locked first, the key looked up",
    "cost_grants": "and a grant burned in order, named by the row",
    "cost_audit": "and an audit row",
    "cost_context": "and who acts on which request, told with it and named by that row",
}
"""Each does all that the one before does, in one statement written by hand."""

TURNS = (
    ("deduct", *COSTS),
    ("deduct_hot", "deduct_many", "bare_update"),
    ("naive",),
)
ASKED = (("first", 1), ("second", 2), ("first", 1), ("too much", 1_000), ("last", 3))
RECORDED = 3
"""How many charges of `ASKED` are new and covered."""


@dataclass(frozen=True, slots=True)
class Charges:
    """What the credits works found: figures, versions, and what the recounts said."""

    results: Results
    versions: dict[str, dict[str, str]]
    recounted: int
    """Charges in both ledgers; each was acknowledged, and every account adds up."""
    naive: Lost | None


async def measure(
    workers: list[Worker],
    server: Server,
    plan: Plan,
    say: Callable[[str], None],
    absent: dict[str, str],
) -> Charges:
    """Open the accounts, compare answers, run the rounds and recount.

    Raises CommandFailed where answers differ or a recount does not add up.
    """
    say(f"opening {credits_data.ACCOUNTS:,} accounts")
    holders = credits_data.load(server.owner_url, server.url)
    versions = await _open(workers, server, holders, absent)
    await _verify(workers, holders)
    results = await race(workers, plan, say, TURNS)
    recounted = await _recount(workers, server)
    naive = None
    if results["naive"]:
        naive = credits_data.lost(server.owner_url, holders.naive)
    for worker in workers:
        await worker.ask("close")
    return Charges(results, versions, recounted, naive)


async def _open(
    workers: list[Worker], server: Server, holders: Holders, absent: dict[str, str]
) -> dict[str, dict[str, str]]:
    versions: dict[str, dict[str, str]] = {}
    users = asdict(holders)
    users["users"] = users.pop("spread")
    for worker in list(workers):
        try:
            answer = await worker.ask(
                "open",
                url=server.url,
                connections=CONNECTIONS,
                clients=CLIENTS,
                prefix=worker.name,
                **users,
            )
        except CommandFailed as error:
            absent[f"{worker.name} (credits)"] = str(error)
            workers.remove(worker)
            continue
        versions[worker.name] = answer["versions"]
        worker.works = answer["works"]
    if not workers:
        raise CommandFailed(f"No contestant could take part in the credits works: {absent}")
    return versions


async def _verify(workers: Sequence[Worker], holders: Holders) -> None:
    """Ask every contestant for the same charges, each on an account of its own."""
    given: dict[str, object] = {}
    for worker, user in zip(workers, holders.samples, strict=False):
        answer = await worker.ask("sample", user=user, asked=ASKED)
        given[worker.name] = answer["answers"]
    reference_name, reference = next(iter(given.items()))
    for name, answers in given.items():
        if answers != reference:
            raise CommandFailed(
                f"{name} and {reference_name} differ in deduct: {answers} is not {reference}"
            )


async def _recount(workers: Sequence[Worker], server: Server) -> int:
    wrong, found = credits_data.recount(server.owner_url)
    for schema, accounts in wrong.items():
        if accounts:
            raise CommandFailed(f"{accounts} accounts of {schema} do not add up")
    for worker in workers:
        acknowledged = (await worker.ask("acknowledged"))["charges"] + RECORDED
        recorded = found.get(worker.name, 0)
        if recorded != acknowledged:
            raise CommandFailed(
                f"{worker.name} was told of {acknowledged} charges, {recorded} are recorded"
            )
    return sum(found.values())
