"""Behind a transaction pooler: every transaction may run on another server connection."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import String, column, text

from bedplate import (
    Database,
    Job,
    ModuleManifest,
    Project,
    Query,
    Running,
    acting,
    assign,
    audit,
    enqueue,
)
from bedplate.kernel import processes
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings
from bedplate.modules.auth import User, create_user, users
from bedplate.operations.work import Worker, WorkOptions
from bedplate.testing import Clone

PROGRAM = "/usr/sbin/pgbouncer"
SERVER_CONNECTIONS = 2
CLIENTS = 16

pytestmark = [
    pytest.mark.pgbouncer,
    pytest.mark.skipif(not Path(PROGRAM).exists(), reason="Debian's pgbouncer is not installed"),
]

WHO: Query[str] = Query(
    text("SELECT current_setting('bedplate.actor', true)").columns(column("who", String))
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def pooled(bedplate_clone: Clone, tmp_path: Path) -> Iterator[Settings]:
    """Settings whose URL leads through a PgBouncer with two server connections."""
    info = conninfo_to_dict(bedplate_clone.url)
    port = _free_port()
    (tmp_path / "users.txt").write_text(f'"{info["user"]}" "{info["password"]}"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host={info["host"]} port={info["port"]}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = scram-sha-256
        auth_file = {tmp_path}/users.txt
        pool_mode = transaction
        default_pool_size = {SERVER_CONNECTIONS}
        max_client_conn = 100
        """.replace("\n        ", "\n")
    )
    user = processes.first_user(("postgres", "nobody")) if os.getuid() == 0 else None
    if user is not None:
        # PgBouncer refuses to run as root, and pytest's folders are closed to everyone else.
        elsewhere = Path("/tmp") / f"bedplate-pgbouncer-{port}"
        shutil.copytree(tmp_path, elsewhere)
        ini = elsewhere / "pgbouncer.ini"
        ini.write_text(ini.read_text().replace(str(tmp_path), str(elsewhere)))
        for path in (elsewhere, *elsewhere.iterdir()):
            os.chown(path, user.uid, user.gid)
    else:
        elsewhere = tmp_path
    pid = processes.start(
        [PROGRAM, str(elsewhere / "pgbouncer.ini")],
        log=tmp_path / "log",
        guard=tmp_path / "guard",
        user=user,
    )
    try:
        _await_port(port, tmp_path / "log")
        url = f"postgresql://{info['user']}:{info['password']}@127.0.0.1:{port}/{info['dbname']}"
        yield replace(
            bedplate_clone.settings,
            database_url=url,
            pool_size_max=CLIENTS,
            transaction_pooler=None,
        )
    finally:
        processes.terminate(pid, [(signal.SIGINT, 3.0), (signal.SIGKILL, 3.0)])
        if elsewhere != tmp_path:
            shutil.rmtree(elsewhere)


def _await_port(port: int, log: Path) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"PgBouncer did not start: {log.read_text()}")


async def test_a_pooler_is_recognised_and_prepared_statements_are_left_out(
    pooled: Settings, bedplate_clone: Clone
) -> None:
    async with await Project.open(settings=pooled) as project:
        assert not project.db.leaf.prepares
    async with await Project.open(settings=bedplate_clone.settings) as direct:
        assert direct.db.leaf.prepares


async def test_the_actor_is_never_another_transactions(pooled: Settings) -> None:
    async with await Project.open(settings=pooled) as project:

        async def ask(number: int) -> bool:
            with acting(f"actor-{number}"):
                async with project.db.transaction() as tx:
                    before = await tx.one(WHO)
                    await tx.run(text("SELECT pg_sleep(0.002)"))
                    return before == await tx.one(WHO) == f"actor-{number}"

        assert all(await asyncio.gather(*(ask(number) for number in range(200))))
        assert not await project.db.first(WHO)


async def test_reads_and_writes_of_many_clients_share_few_connections(pooled: Settings) -> None:
    async with await Project.open(settings=pooled) as project:
        db = project.db

        async def live(number: int) -> None:
            async with db.transaction() as tx:
                user = await create_user(tx, User(email=f"{number}@example.com"))
            for _ in range(10):
                assert (await users.get(db, user.id, include=(User.preferences,))).preferences
            assert (await users.get(db, user.id)).created_at.utcoffset() is not None

        await asyncio.gather(*(live(number) for number in range(CLIENTS)))
        assert await users.count(db) == CLIENTS
        assert [user.email async for user in users.stream(db, order=(User.email,))]


async def test_the_audit_log_names_each_transactions_own_actor(pooled: Settings) -> None:
    async with await Project.open(settings=pooled) as project:
        db = project.db
        people = [
            await users.create(db, User(email=f"{number}@example.com")) for number in range(20)
        ]

        async def rename(user: User, name: str) -> None:
            async with db.transaction(user.id) as tx:
                await users.update(tx, user.id, assign(User.name, name))

        await asyncio.gather(*(rename(user, f"n{n}") for n in range(5) for user in people))
        entries = await audit.entries(db, audit.Wanted(action="ROW_UPDATED"), limit=200)
        assert len(entries) == 100
        assert all(entry.user_id == entry.entity_id for entry in entries)


async def test_prepared_statements_would_fail_there(pooled: Settings) -> None:
    """The guard matters: told that there is no pooler, the same reads break."""
    wrong = replace(pooled, transaction_pooler=False)
    async with await Project.open(settings=wrong, check_versions=False) as project:

        async def read() -> None:
            for _ in range(20):
                await users.find(project.db, User.name == "nobody")

        outcomes = await asyncio.gather(*(read() for _ in range(CLIENTS)), return_exceptions=True)
    assert any(isinstance(outcome, Exception) for outcome in outcomes)


async def test_a_worker_finds_its_jobs_where_it_cannot_listen(pooled: Settings) -> None:
    waits: list[float] = []

    async def note_the_time(db: Database, running: Running[float]) -> None:
        waits.append(time.monotonic() - running.payload)

    job = Job(name="crew.note", payload=float, run=note_the_time)
    manifest = ModuleManifest(name="crew", package="tests.shop", models=(), jobs=(job,))
    async with await Project.open(settings=pooled) as project:
        worker = Worker(project.db, Registry([manifest]), WorkOptions(), note=print)
        stopping = asyncio.Event()
        working = asyncio.create_task(worker.run(stopping))
        for _ in range(10):
            await asyncio.sleep(0.3)
            await enqueue(project.db, job, time.monotonic())
        async with asyncio.timeout(60):
            while len(waits) < 10:  # noqa: ASYNC110  A worker tells nobody.
                await asyncio.sleep(0.01)
        stopping.set()
        assert (await working).succeeded >= 10
        assert worker.statistics()["listening"] is False
    # The middle one: where the machine stands still for a moment, the others wait with it.
    assert sorted(waits)[5] < 0.5
