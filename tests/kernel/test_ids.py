"""Ids: UUIDv7, strictly rising, never the same twice, also across threads and forks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from uuid import UUID

import pytest

from bedplate.kernel import ids


@pytest.fixture(autouse=True)
def _ids_come_from_chance_again() -> Iterator[None]:
    yield
    ids.replace_source(None)


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = ids.new()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    # The counter may borrow a little of the future, never of the past.
    after = time.time_ns() // 1_000_000
    assert before <= made.int >> 80 <= after + 1_000


def test_ids_rise_strictly_however_they_are_taken() -> None:
    taken = [ids.new() for _ in range(2_000)] + ids.many(20_000) + [ids.new()]
    assert taken == sorted(set(taken))


def test_ids_rise_in_postgresql_as_they_do_in_python() -> None:
    taken = ids.many(5_000)
    assert [one.bytes for one in taken] == sorted(one.bytes for one in taken)


def test_threads_never_get_the_same_id() -> None:
    taken: list[UUID] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        mine = [ids.new() for _ in range(2_000)]
        assert mine == sorted(mine)
        taken.extend(mine)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 16_000


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:  # the child says what it made and is gone, without pytest's farewell
        os.write(writing, b"".join(one.bytes for one in ids.many(100)))
        os._exit(0)
    ours = {one.bytes for one in ids.many(100)}
    os.waitpid(pid, 0)
    said = os.read(reading, 1_600)
    theirs = {said[start : start + 16] for start in range(0, 1_600, 16)}
    assert len(theirs) == 100
    assert not ours & theirs


def test_no_ids_are_none() -> None:
    assert ids.many(0) == []


def test_a_test_can_say_which_ids_come() -> None:
    ids.replace_source(lambda count: [UUID(int=7)] * count)
    assert (ids.new(), ids.many(2)) == (UUID(int=7), [UUID(int=7)] * 2)
    ids.replace_source(None)
    assert ids.new() != UUID(int=7)
