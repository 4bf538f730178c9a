"""Numbers without gaps: taken in order, given back by a rollback, out of reach for the app."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from bedplate.testing import Clone

TAKE = "SELECT bedplate.next_numbers('shop.orders', %s, %s)"
CLIENTS = 8
EACH = 20


def take(connection: psycopg.Connection, period: str, count: int = 1) -> int:
    row = connection.execute(TAKE.encode(), [period, count]).fetchone()
    assert row is not None
    return int(row[0])


def test_each_period_counts_from_one_and_a_batch_gets_its_first(bedplate_clone: Clone) -> None:
    with psycopg.connect(bedplate_clone.owner_url, autocommit=True) as owner:
        assert [take(owner, "20260101") for _ in range(2)] == [1, 2]
        assert take(owner, "20260101", 100) == 3
        assert take(owner, "20260101") == 103
        assert take(owner, "20260102") == 1
        with pytest.raises(psycopg.errors.CheckViolation):
            take(owner, "20260103", 0)


def test_a_rollback_gives_its_numbers_back_whoever_else_takes_some(bedplate_clone: Clone) -> None:
    def client(number: int) -> list[int]:
        kept: list[int] = []
        with psycopg.connect(bedplate_clone.owner_url) as owner:
            for turn in range(EACH):
                found = take(owner, "2026")
                if (number + turn) % 5:
                    owner.commit()
                    kept.append(found)
                else:
                    owner.rollback()
        return kept

    with ThreadPoolExecutor(CLIENTS) as pool:
        kept = sorted(number for each in pool.map(client, range(CLIENTS)) for number in each)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) == CLIENTS * EACH * 4 // 5


def test_the_app_reads_the_counters_and_takes_no_numbers(bedplate_clone: Clone) -> None:
    with psycopg.connect(bedplate_clone.url, autocommit=True) as app:
        assert app.execute("SELECT count(*) FROM bedplate.number_series").fetchone() == (0,)
        for statement in (
            "SELECT bedplate.next_numbers('shop.orders', '2026', 1)",
            "INSERT INTO bedplate.number_series VALUES ('shop.orders', '2026', 5)",
            "UPDATE bedplate.number_series SET last_number = 1",
            "DELETE FROM bedplate.number_series",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())
