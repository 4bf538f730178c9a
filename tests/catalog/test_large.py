"""What a reading costs: as many statements for a thousand tables as for one, and no square."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from unittest.mock import patch

import psycopg
import pytest

from bedplate.catalog import Connection, Snapshot, connect, content, difference, fingerprint, read
from tests import proofs
from tests.databases import TestDatabase

STATEMENTS_MAX = 25
TABLE = """
CREATE TABLE shop.t{n} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL DEFAULT 'x',
    b numeric(12, 2) CHECK (b > 0), c timestamptz, d jsonb, e uuid, f int, g text, h bool,
    i bigint REFERENCES shop.t1
);
CREATE INDEX ON shop.t{n} (a, c) WHERE f > 3;
COMMENT ON TABLE shop.t{n} IS 'One of many.';
GRANT SELECT ON shop.t{n} TO PUBLIC;
"""
EMPTY = Snapshot(())
ROUNDS = 5
ROWS = 1_000_000


def fill(connection: Connection, tables: int) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
    (made,) = connection.execute(
        "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'shop'"
    ).fetchone() or (0,)
    for first in range(made + 1, tables + 1, 100):
        numbers = range(first, min(first + 100, tables + 1))
        connection.execute("".join(TABLE.replace("{n}", str(n)) for n in numbers).encode())
        # A transaction holds a lock on each table it makes, and there is room for so many.
        connection.commit()


def statements(connection: Connection) -> int:
    with patch.object(
        psycopg.Connection, "execute", autospec=True, side_effect=psycopg.Connection.execute
    ) as execute:
        read(connection, ["shop"])
    return execute.call_count


def test_more_tables_are_not_more_statements(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        fill(connection, 2)
        few = statements(connection)
        fill(connection, 40)
        assert len(read(connection, ["shop"]).tables) == 40
        assert statements(connection) == few <= STATEMENTS_MAX


def best_ms(work: Callable[[], object]) -> float:
    """The least of some rounds: what else the machine does only ever adds."""
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return round(min(times), 1)


@pytest.mark.full
def test_what_a_thousand_tables_cost(database: TestDatabase) -> None:
    figures: dict[str, dict[str, float]] = {}
    with connect(database.owner_url) as connection:
        for tables in (100, 1_000):
            fill(connection, tables)
            snapshot = read(connection, ["shop"])
            connection.commit()
            figures[f"{tables:,} tables"] = {
                "read": best_ms(lambda: read(connection, ["shop"])),
                "fingerprint": best_ms(lambda snapshot=snapshot: fingerprint(snapshot)),
                "difference": best_ms(lambda snapshot=snapshot: difference(EMPTY, snapshot)),
            }
        connection.execute(f"""
            CREATE TABLE shop.wide AS SELECT n, md5(n::text) AS a, n * 0.1 AS b,
                timestamptz '2030-01-01' + n * interval '1 s' AS c
            FROM generate_series(1, {ROWS}) n
        """)
        hashed = best_ms(lambda: content(connection, "shop", "wide"))
        server = connection.info.server_version // 10_000
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {server}"
    lines = [
        "# What it costs to look at a whole schema",
        "",
        f"Run by `pytest --full`; {machine}. Each table has 10 columns, 3 rules, 2 indexes, a",
        f"comment and a grant; the least of {ROUNDS} rounds, in milliseconds.",
        "",
        "| | read | fingerprint | difference from nothing |",
        "|---|---|---|---|",
        *(
            f"| {size} | {cost['read']} | {cost['fingerprint']} | {cost['difference']} |"
            for size, cost in figures.items()
        ),
        "",
        f"The content hash of {ROWS:,} rows of four columns took {hashed / 1000:.2f} s.",
    ]
    proofs.write("catalog", "\n".join(lines), {"machine": machine, **figures, "hash_ms": hashed})
    hundred, thousand = (sum(cost.values()) for cost in figures.values())
    # Ten times the tables may not cost a hundred times as much; a machine that does nothing else
    # needs under half a second, and nobody's may need 3 s.
    assert thousand < 25 * hundred
    assert thousand < 3_000
