"""`bedplate work`: run the jobs that the modules declare, and see to those that failed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output, table
from bedplate.kernel.database import Database
from bedplate.kernel.leased import State
from bedplate.kernel.versions import versions
from bedplate.operations.work import Listed, Tally, Worker, WorkOptions, listed
from bedplate.operations.work import cancel as cancel_job
from bedplate.operations.work import retry as retry_job

PROGRESS_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")

Once = Annotated[bool, typer.Option("--once", help="Work until nothing is due, then exit.")]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, max=1_000, help="Jobs at a time. [default: work_concurrency]"),
]
StateOption = Annotated[State | None, typer.Option("--state", help="Only those in this state.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")]
Job = Annotated[UUID, typer.Argument(metavar="ID", help="The job's id.")]

app = typer.Typer(rich_markup_mode=None)


@app.callback(
    invoke_without_command=True,
    short_help="Run the modules' jobs.",
    epilog=examples(
        "bedplate work",
        "bedplate work --once --json",
        "bedplate work --concurrency=16",
        "bedplate work list --state FAILED",
    ),
)
def work(
    context: typer.Context,
    once: Once = False,
    concurrency: Concurrency = None,
    as_json: Json = False,
) -> int:
    """Run jobs as they come due, and periodic ones, until Ctrl-C or SIGTERM.

    Any number of workers may run. One that stops lets its jobs end within work_grace_ms and gives
    the others back; the jobs of one that is killed run again after work_lease_ms. With --once the
    exit code is 1 when a job failed for good.
    """
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        options = WorkOptions.of(project.settings)
        if concurrency is not None:
            options = replace(options, concurrency=concurrency)
        tally = asyncio.run(_work(project, out, options, once=once))
    out.result(tally.as_dict(), f"{said(tally)}.")
    return ExitCode.FOUND if once and tally.failed else ExitCode.OK


@app.command(
    "list",
    short_help="Show jobs, newest first.",
    epilog=examples("bedplate work list", "bedplate work list --state FAILED --json"),
)
def list_jobs(
    context: typer.Context, state: StateOption = None, limit: Limit = 50, as_json: Json = False
) -> None:
    """Show jobs with their state and what went wrong last, never what they were given."""
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        found = _with_database(project, lambda db: listed(db, state=state, limit=limit))
    out.result({"jobs": [asdict(each) for each in found]}, _text(found))


@app.command(
    short_help="Try a failed job anew.",
    epilog=examples("bedplate work retry 01980000-0000-7000-8000-000000000001"),
)
def retry(context: typer.Context, job: Job, as_json: Json = False) -> None:
    """Let a job that FAILED be tried anew: at once, and with all its attempts."""
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        _with_database(project, lambda db: retry_job(db, job))
    out.result({"id": str(job), "state": State.PENDING}, f"{job} will be tried anew.")


@app.command(
    short_help="Cancel a job.",
    epilog=examples("bedplate work cancel 01980000-0000-7000-8000-000000000001"),
)
def cancel(context: typer.Context, job: Job, as_json: Json = False) -> None:
    """Cancel a job that waits; one that runs is stopped by its worker at its next heartbeat."""
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        state = _with_database(project, lambda db: cancel_job(db, job))
    text = "is cancelled" if state is State.CANCELLED else "runs, and is told to stop"
    out.result({"id": str(job), "state": state}, f"{job} {text}.")


def said(tally: Tally) -> str:
    """Say what became of the jobs: 12 jobs (10 succeeded, 2 retried)."""
    counts = tally.as_dict()
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{sum(counts.values())} jobs ({parts})" if parts else "Nothing was due"


async def _work(project: Opened, out: Output, options: WorkOptions, *, once: bool) -> Tally:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    db = project.database(connections_of(options))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(db.close)
        await db.open()
        modules = project.registry
        modules.require_current(await versions(db, [line.schema for line in modules.lines]))
        worker = Worker(db, modules, options, note=out.note)
        progress = asyncio.create_task(_progress(worker, out))
        stack.callback(progress.cancel)
        return await (worker.drain(stopping) if once else worker.run(stopping))


def connections_of(options: WorkOptions) -> int:
    """Return how many connections a worker needs: one for each job, and for what is beside them."""
    return options.concurrency + 2


async def _progress(worker: Worker, out: Output) -> None:
    before = said(worker.tally)
    while True:
        await asyncio.sleep(PROGRESS_S)
        if (now := said(worker.tally)) != before:
            out.note(f"{now} so far")
            before = now


def _with_database(project: Opened, ask: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        db = project.database()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(db.close)
            await db.open()
            return await ask(db)

    return asyncio.run(run())


def _text(found: list[Listed]) -> str:
    if not found:
        return "No jobs."
    rows = [("id", "job", "state", "attempts", "run at", "last error")]
    rows += [
        (
            *(str(each.id), each.kind, each.state, f"{each.attempts}/{each.max_attempts}"),
            each.run_at.isoformat(timespec="seconds"),
            each.error_message or "",
        )
        for each in found
    ]
    return table(rows)
