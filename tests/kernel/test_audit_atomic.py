"""AU5: what was done and the record of it are committed together or not at all, whoever is killed.

Each transaction adds one to a user's counter. Then, for every user, the counter is the number of
its recorded changes, and they lead from 0 to it without a gap.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path
from signal import SIGKILL
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate.kernel import processes
from bedplate.testing import Clone

USERS = [UUID(int=number) for number in range(1, 5)]
ADD = "UPDATE auth.users SET failed_login_count = failed_login_count + 1 WHERE id = %s"
LAW = """
SELECT u.id, u.failed_login_count, count(e.*)
FROM auth.users u
LEFT JOIN auth.audit_logs e ON e.entity_id = u.id::text AND e.action = 'ROW_UPDATED'
GROUP BY u.id
HAVING count(e.*) <> u.failed_login_count
    OR sum((e.changes #>> '{after,failed_login_count}')::int) <> sum(DISTINCT
           (e.changes #>> '{after,failed_login_count}')::int)
    OR max((e.changes #>> '{after,failed_login_count}')::int) <> u.failed_login_count
"""
DONE = "SELECT sum(failed_login_count) FROM auth.users"

KILL_ONE = """
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity
    WHERE application_name = 'victim' AND datname = current_database() ORDER BY random() LIMIT 1
) victim
"""
WAIT_UNTIL_GONE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
"""

CLIENT = f"""
import sys, psycopg
connection = psycopg.connect(sys.argv[1])
while True:
    for user in {[str(user) for user in USERS]}:
        with connection.transaction():
            connection.execute({ADD!r}, [user])
            connection.execute({ADD!r}, [user])
        print("acknowledged", flush=True)
"""


@pytest.fixture
def owner(bedplate_clone: Clone) -> Any:
    with psycopg.connect(bedplate_clone.owner_url, autocommit=True) as connection:
        for user in USERS:
            connection.execute(
                "INSERT INTO auth.users (id, email) VALUES (%s, %s)", [user, f"{user}@x.y"]
            )
        yield connection


def test_a_killed_backend_leaves_both_or_neither(bedplate_clone: Clone, owner: Any) -> None:
    over = threading.Event()
    acknowledged: list[int] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        while not over.is_set():
            try:
                with psycopg.connect(bedplate_clone.url, application_name="victim") as app:
                    while not over.is_set():
                        app.execute(ADD, [choose.choice(USERS)])
                        app.commit()
                        acknowledged.append(1)
            except psycopg.OperationalError:
                continue

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    killed = 0
    deadline = time.monotonic() + 30
    try:
        with psycopg.connect(bedplate_clone.url, autocommit=True) as killer:
            while killed < 25:
                assert time.monotonic() < deadline
                time.sleep(0.02)
                row = killer.execute(KILL_ONE).fetchone()
                assert row is not None
                killed += row[0]
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert owner.execute(LAW).fetchall() == []
    # A COMMIT whose answer was lost may have happened.
    (done,) = owner.execute(DONE).fetchone()
    assert 0 < len(acknowledged) <= done <= len(acknowledged) + killed


def test_a_killed_client_leaves_both_or_neither(
    bedplate_clone: Clone, owner: Any, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def acknowledged() -> int:
        return log.read_text().count("acknowledged\n") if log.exists() else 0

    for round_ in range(2):
        before = acknowledged()
        pid = processes.start(
            [sys.executable, "-c", CLIENT, bedplate_clone.url],
            log=log,
            guard=tmp_path / f"guard-{round_}",
        )
        deadline = time.monotonic() + 30
        while acknowledged() < before + 20:
            assert processes.alive(pid), log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert processes.terminate(pid, [(SIGKILL, 30)])
    with psycopg.connect(bedplate_clone.url, autocommit=True) as app:
        app.execute(WAIT_UNTIL_GONE)
    assert owner.execute(LAW).fetchall() == []
    (done,) = owner.execute(DONE).fetchone()
    assert done % 2 == 0
    assert 2 * acknowledged() <= done <= 2 * (acknowledged() + 2)


def test_the_recount_sees_what_was_not_recorded(bedplate_clone: Clone, owner: Any) -> None:
    """Sabotage: without its trigger a change is not recorded, and the law above is broken."""
    with psycopg.connect(bedplate_clone.url, autocommit=True) as app:
        app.execute(ADD, [USERS[0]])
        assert owner.execute(LAW).fetchall() == []
        owner.execute("DROP TRIGGER tr_users_capture_update ON auth.users")
        app.execute(ADD, [USERS[0]])
    assert owner.execute(LAW).fetchall() == [(USERS[0], 2, 1)]
