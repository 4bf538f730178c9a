"""Measure Bedplate beside its peers: `python -m bench [--quick] [--json|--markdown] [--check]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from bench import (
    accounting_rounds,
    credits_rounds,
    data,
    floors,
    machine,
    prisma,
    receipts,
    startup,
)
from bench.accounting_rounds import Bills
from bench.credits_rounds import Charges
from bench.data import FULL, QUICK, Keys
from bench.processes import CommandFailed, Worker
from bench.report import (
    BARE,
    BEDPLATE,
    DJANGO,
    PRISMA,
    SQLALCHEMY,
    Report,
    as_json,
    as_markdown,
    as_text,
)
from bench.rounds import CLIENTS, CONNECTIONS, Plan, Results, race, race_bulk, verify
from bench.server import Server, serve

CONTESTANTS = {
    "bedplate": (BEDPLATE, "bedplate_repository", "credits_bedplate"),
    "psycopg": (BARE, "psycopg_bare", "credits_psycopg"),
    "sqlalchemy": (SQLALCHEMY, "sqlalchemy_session", "credits_sqlalchemy"),
    "django": (DJANGO, "django_orm", "credits_django"),
    "prisma": (PRISMA, "worker.mjs", "credits.mjs"),
}
"""The name in the table, and the file of each of the two sets of works."""
BILLING = {
    "bedplate": "accounting_bedplate",
    "psycopg": "accounting_psycopg",
    "sqlalchemy": "accounting_sqlalchemy",
}
"""Who bills, by file."""
WORKS = ("rows", "credits", "accounting", "receipts")
MANY_TABLES = (1_000, 10_000)
CACHE = Path("~/.cache/bedplate-bench").expanduser()


def say(text: str) -> None:
    """Tell how far the bench is, apart from its result."""
    print(f"  {text}", file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tables, short rounds")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print every round as JSON")
    form.add_argument("--markdown", action="store_true", help="print the table for the README")
    parser.add_argument("--check", action="store_true", help="end with 1 when a floor is missed")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, help="contestants to measure")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS, help="what to measure")
    parser.add_argument("--url", help="use this server; its schema `bench` is replaced")
    parser.add_argument("--major", type=int, default=18, help="the embedded server's major version")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where Prisma is installed")
    return parser.parse_args()


def contestants(chosen: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return the contestants that were chosen, in the order of the table."""
    return [CONTESTANTS[name] for name in CONTESTANTS if name in (chosen.only or CONTESTANTS)]


async def start_workers(
    stack: AsyncExitStack,
    module: str,
    sources: dict[str, str],
    cache: Path,
    absent: dict[str, str],
) -> list[Worker]:
    """Start the contestants that can take part, by name and file; note why the others cannot."""
    logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bedplate-bench-logs-")))
    workers: list[Worker] = []
    for name, source in sources.items():
        try:
            if name == PRISMA:
                say("preparing Prisma")
                argv = await prisma.prepare(cache, source)
            else:
                argv = [sys.executable, "-m", module, source]
            worker = await Worker.start(name, argv, logs / f"{len(workers)}.log")
        except (prisma.PrismaAbsent, CommandFailed) as error:
            absent[name] = str(error)
            continue
        workers.append(await stack.enter_async_context(worker))
    return workers


async def open_workers(
    workers: list[Worker], server: Server, keys: Keys, absent: dict[str, str]
) -> dict[str, dict[str, str]]:
    """Connect every worker and return the versions; one that cannot is noted as absent."""
    versions: dict[str, dict[str, str]] = {}
    for worker in list(workers):
        try:
            answer = await worker.ask(
                "open",
                url=server.url,
                connections=CONNECTIONS,
                clients=CLIENTS,
                accounts=keys.accounts,
                marks=keys.marks,
            )
            versions[worker.name] = answer["versions"]
            worker.variants = answer["variants"]
        except CommandFailed as error:
            absent[worker.name] = str(error)
            workers.remove(worker)
    return versions


async def race_rows(
    chosen: argparse.Namespace, server: Server, plan: Plan, absent: dict[str, str]
) -> tuple[Results, dict[str, dict[str, str]]]:
    """Run the works on rows; return their figures and the contestants' versions."""
    volumes = QUICK if chosen.quick else FULL
    async with AsyncExitStack() as stack:
        say(f"loading {volumes.events:,} events")
        data.load(server.owner_url, server.app_role, volumes)
        keys = data.pick_keys(server.owner_url)
        sources = {name: source for name, source, _ in contestants(chosen)}
        workers = await start_workers(stack, "bench.worker", sources, chosen.cache, absent)
        versions = await open_workers(workers, server, keys, absent)
        if not workers:
            raise CommandFailed(f"No contestant could take part: {absent}")
        await verify(workers, keys)
        results = await race(workers, plan, say)
        results["bulk"] = await race_bulk(workers, plan, server.owner_url, say)
        for worker in workers:
            await worker.ask("close")
    return results, versions


async def race_charges(
    chosen: argparse.Namespace, server: Server, plan: Plan, absent: dict[str, str]
) -> Charges | None:
    """Run the credits works; None, and noted as absent, on a server that is not the bench's own."""
    if chosen.url is not None:
        # They need the modules' schemas, and the caller was promised that only `bench` is touched.
        absent["the credits works"] = "they need the embedded server"
        return None
    async with AsyncExitStack() as stack:
        sources = {name: source for name, _, source in contestants(chosen)}
        workers = await start_workers(stack, "bench.credits_worker", sources, chosen.cache, absent)
        return await credits_rounds.measure(workers, server, plan, say, absent)


async def race_bills(
    chosen: argparse.Namespace, server: Server, plan: Plan, absent: dict[str, str]
) -> Bills | None:
    """Run the accounting works; None, and noted as absent, on a server that is not ours."""
    if chosen.url is not None:
        absent["the accounting works"] = "they need the embedded server"
        return None
    async with AsyncExitStack() as stack:
        sources = {
            CONTESTANTS[name][0]: source
            for name, source in BILLING.items()
            if name in (chosen.only or BILLING)
        }
        module = "bench.accounting_worker"
        workers = await start_workers(stack, module, sources, chosen.cache, absent)
        if not workers:
            return None
        return await accounting_rounds.measure(workers, server, plan, say, chosen.quick)


def cost_receipts(
    chosen: argparse.Namespace, server: Server, absent: dict[str, str]
) -> dict[int, float]:
    """Measure receipts; none, and noted as absent, on a server that is not the bench's own."""
    if chosen.url is not None:
        absent["the receipts"] = "they need the embedded server"
        return {}
    found: dict[int, float] = {}
    for tables in MANY_TABLES[:1] if chosen.quick else MANY_TABLES:
        say(f"receipts beside {tables:,} tables")
        found[tables] = receipts.measure(server.owner_url, tables)
    return found


async def measure(chosen: argparse.Namespace) -> Report:
    """Run the whole bench, or the works that were chosen."""
    volumes = QUICK if chosen.quick else FULL
    plan = Plan(
        seconds=0.3 if chosen.quick else 0.7,
        rounds=5 if chosen.quick else 7,
        bulk_rounds=3,
        bulk_rows=volumes.bulk_rows,
    )
    absent: dict[str, str] = {}
    results: Results = {}
    versions: dict[str, dict[str, str]] = {}
    charges = bills = None
    receipt_ms: dict[int, float] = {}
    with serve(chosen.url, chosen.major) as server:
        described = machine.describe() | {"postgresql": server.version()}
        if "rows" in chosen.works:
            results, versions = await race_rows(chosen, server, plan, absent)
        if "credits" in chosen.works:
            charges = await race_charges(chosen, server, plan, absent)
        if "accounting" in chosen.works:
            bills = await race_bills(chosen, server, plan, absent)
        if "receipts" in chosen.works:
            receipt_ms = cost_receipts(chosen, server, absent)
    if charges is not None:
        results |= charges.results
        versions = charges.versions | versions
    if bills is not None:
        results |= bills.results
        versions = bills.versions | versions
    report = Report(plan, volumes, described, versions, results, absent, charges, bills)
    report.receipt_ms = receipt_ms
    if "rows" in chosen.works:
        try:
            say("start-up")
            report.startup_seconds = await startup.measure()
        except CommandFailed as error:
            absent["`bedplate up`"] = str(error)
    return report


def main() -> int:
    """Run the bench and print what it found; return the exit code."""
    chosen = options()
    try:
        report = asyncio.run(measure(chosen))
    except CommandFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    show = as_json if chosen.json else as_markdown if chosen.markdown else as_text
    print(show(report))
    if not chosen.check:
        return 0
    sentences = floors.missed(report)
    for sentence in sentences:
        print(f"missed: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
