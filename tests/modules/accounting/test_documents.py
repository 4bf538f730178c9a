"""IN10: an invoice's document is fixed at issue, made once by the worker, and never again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate.kernel.database import Database
from bedplate.modules.accounting import (
    Document,
    DocumentPending,
    NoDocument,
    UnknownInvoice,
    cancel_invoice,
    document_of,
    issue_invoices,
    move_due_date,
    render_document,
    set_seller,
)
from bedplate.modules.accounting.document import render
from bedplate.operations.work import Worker, WorkOptions
from bedplate.testing import Clone
from tests.asking import as_owner, ask
from tests.modules.accounting.business import broken, customer, drafted, issued
from tests.modules.accounting.test_page import read
from tests.operations.workers import until
from tests.world import CLIENTS, World


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """A worker needs a loop, and the rules are the server's."""
    return world


def stored(clone: Clone, invoice_id: UUID) -> tuple[Any, ...]:
    (row,) = ask(
        clone,
        "SELECT content, pdf, pdf_sha256, rendered_at FROM accounting.invoice_documents"
        " WHERE invoice_id = %s",
        invoice_id,
    )
    return row


def asked_for(clone: Clone) -> list[list[str]]:
    rows = ask(
        clone, "SELECT payload FROM bedplate.jobs WHERE kind = 'accounting.render' ORDER BY id"
    )
    return [payload for (payload,) in rows]


def past_triggers(statement: str) -> str:
    triggers = "ALTER TABLE accounting.invoice_documents {} TRIGGER USER"
    return f"{triggers.format('DISABLE')}; {statement}; {triggers.format('ENABLE')}"


async def work(world: World, done: Callable[[], Awaitable[bool]], workers: int = 1) -> list[str]:
    """Let workers work until it is done; return what they noted."""
    stopping = asyncio.Event()
    notes: list[str] = []
    options = WorkOptions(lease=timedelta(seconds=5), grace=timedelta(seconds=30))
    made = [
        Worker(world.db, world.project.registry, options, note=notes.append) for _ in range(workers)
    ]
    running = [asyncio.create_task(worker.run(stopping)) for worker in made]
    await until(done, 60)
    stopping.set()
    await asyncio.gather(*running)
    return notes


def all_made(clone: Clone) -> Callable[[], Awaitable[bool]]:
    async def done() -> bool:
        left = await asyncio.to_thread(
            ask, clone, "SELECT FROM accounting.invoice_documents WHERE pdf IS NULL"
        )
        return not left

    return done


def test_a_document_says_what_was_fixed_at_issue_and_is_made_once(world: World) -> None:
    clone = world.clone

    async def body(db: Database) -> tuple[Document, Document]:
        await set_seller(db, "Norður ehf.\nReykjavík", currency="EUR")
        who = await customer(db)
        draft = await drafted(db, who)
        with pytest.raises(NoDocument):
            await document_of(db, draft.id)
        invoice = await issued(db, who, count=1234, price="56.78")
        with pytest.raises(DocumentPending, match=invoice.invoice_number):
            await document_of(db, invoice.id)
        await work(world, all_made(clone))
        first = await document_of(db, invoice.id)
        as_owner(clone, "UPDATE auth.users SET name = 'Somebody Else'")
        await set_seller(db, "Somebody Else", currency="USD")
        await move_due_date(db, invoice.id, invoice.due_date.replace(year=2098), by=who.by)
        assert await render_document(db, invoice.id) is False
        return first, await document_of(db, invoice.id)

    first, again = world.run(body(world.db))
    assert first == again
    assert first.file_name == f"invoice-{first.invoice_number}.pdf"
    assert hashlib.sha256(first.pdf).hexdigest() == first.sha256
    _, text = read(first.pdf)
    said = ("Ada", "Norður ehf.", "Reykjavík", "1,234", "56.78", "EUR 70,066.52", "2099")
    for each in (*said, first.invoice_number):
        assert each in text, each
    content, pdf, *_ = stored(clone, first.invoice_id)
    assert bytes(pdf) == render(content) == first.pdf
    assert broken(world) == {}


def test_no_document_of_what_was_never_issued(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        draft = await drafted(db, who)
        await cancel_invoice(db, draft.id, by=who.by)
        with pytest.raises(NoDocument):
            await document_of(db, draft.id)
        with pytest.raises(UnknownInvoice):
            await document_of(db, UUID(int=7))
        assert await render_document(db, draft.id) is False

    world.run(body(world.db))
    assert asked_for(world.clone) == []


def test_whoever_issues_asks_for_the_page_in_the_same_transaction(world: World) -> None:
    async def drafts(db: Database) -> list[UUID]:
        who = await customer(db)
        return [(await drafted(db, who)).id for _ in range(203)]

    ids = world.run(drafts(world.db))
    with psycopg.connect(world.clone.url) as app:
        app.execute("UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s", [ids[0]])
        app.rollback()
        assert asked_for(world.clone) == []
        app.execute("UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s", [ids[0]])
    assert asked_for(world.clone) == [[str(ids[0])]]
    world.run(issue_invoices(world.db, ids[1:]))
    asked = asked_for(world.clone)
    assert [len(each) for each in asked] == [1, 200, 2] or [len(e) for e in asked] == [1, 2, 200]
    assert sorted(id for each in asked for id in each) == sorted(map(str, ids))


@pytest.mark.parametrize("wide_world", ["async"], indirect=True)
def test_of_any_number_at_once_one_makes_the_page(wide_world: World) -> None:
    async def body(db: Database) -> list[bool]:
        who = await customer(db)
        invoice = await issued(db, who)

        async def one() -> bool:
            async with db.transaction() as tx:
                return await render_document(tx, invoice.id)

        return list(await asyncio.gather(*(one() for _ in range(CLIENTS))))

    made = wide_world.run(body(wide_world.db))
    assert sorted(made) == [False] * (CLIENTS - 1) + [True]


def test_two_workers_make_each_page_once(world: World) -> None:
    clone = world.clone
    as_owner(
        clone,
        "CREATE TABLE accounting.made (invoice_id uuid);"
        "CREATE FUNCTION accounting.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " 'BEGIN INSERT INTO accounting.made VALUES (NEW.invoice_id); RETURN NULL; END';"
        "CREATE TRIGGER made AFTER UPDATE ON accounting.invoice_documents"
        " FOR EACH ROW EXECUTE FUNCTION accounting.note()",
    )

    async def body(db: Database) -> None:
        who = await customer(db)
        for _ in range(12):
            await issued(db, who)
        # Asked for twice over: by a second job each.
        as_owner(
            clone,
            "INSERT INTO bedplate.jobs (id, kind, payload)"
            " SELECT bedplate.uuid7(), kind, payload FROM bedplate.jobs",
        )
        await work(world, all_made(clone), workers=2)

    world.run(body(world.db))
    with psycopg.connect(clone.owner_url) as owner:
        rows = owner.execute(
            "SELECT count(*), count(DISTINCT invoice_id) FROM accounting.made"
        ).fetchall()
    assert rows == [(12, 12)]


KILLED = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from bedplate import Project
from bedplate.kernel.settings import Settings
from bedplate.modules.accounting import render_document

async def main():
    settings = Settings(
        folder=Path("."), database_url=sys.argv[1], modules=("auth", "mining", "accounting"))
    async with await Project.open(settings=settings) as project, project.db.transaction() as tx:
        print(await render_document(tx, UUID(sys.argv[2])), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_worker_that_is_killed_leaves_nothing_and_the_next_makes_the_page(
    world: World,
) -> None:
    clone = world.clone

    async def prepare(db: Database) -> UUID:
        return (await issued(db, await customer(db))).id

    invoice_id = world.run(prepare(world.db))
    command = [sys.executable, "-c", KILLED, clone.url, str(invoice_id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "True\n"
        killed.send_signal(signal.SIGKILL)
    assert stored(clone, invoice_id)[1] is None
    world.run(work(world, all_made(clone)))
    content, pdf, *_ = stored(clone, invoice_id)
    assert bytes(pdf) == render(content)


def test_one_that_cannot_be_made_does_not_keep_the_others_back(world: World) -> None:
    clone = world.clone

    async def body(db: Database) -> tuple[UUID, UUID, list[str]]:
        who = await customer(db)
        ids = [(await drafted(db, who)).id for _ in range(2)]
        await issue_invoices(db, ids)
        as_owner(
            clone,
            past_triggers(
                "UPDATE accounting.invoice_documents"
                f" SET content = content - 'total' WHERE invoice_id = '{ids[0]}'"
            ),
        )

        async def tried() -> bool:
            query = "SELECT FROM bedplate.jobs WHERE kind = 'accounting.render' AND attempts > 0"
            made = "SELECT FROM accounting.invoice_documents WHERE pdf IS NOT NULL"
            both = await asyncio.to_thread(lambda: (ask(clone, query), ask(clone, made)))
            return all(both)

        return ids[0], ids[1], await work(world, tried)

    bad, good, notes = world.run(body(world.db))
    assert stored(clone, bad)[1] is None
    assert stored(clone, good)[1] is not None
    assert any("accounting.content_invalid" in note or "total" in note for note in notes)
    assert "accounting.E007" in broken(world)


CHANGES = {
    "content": "content = jsonb_set(content, '{total}', '\"1.00\"')",
    "hash of the content": "content_sha256 = sha256('')",
    "page": "pdf = 'x', pdf_sha256 = sha256('x')",
    "page taken away": "pdf = NULL, pdf_sha256 = NULL, rendered_at = NULL",
    "the same page": "pdf = pdf",
    "day": "created_at = created_at - interval '1 day'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_document_is_not_changed_by_anybody(world: World, change: str) -> None:
    async def prepare(db: Database) -> UUID:
        invoice = await issued(db, await customer(db))
        assert await render_document(db, invoice.id)
        return invoice.id

    invoice_id = world.run(prepare(world.db))
    before = stored(world.clone, invoice_id)
    for url in (world.clone.url, world.clone.owner_url):
        with (
            psycopg.connect(url) as anybody,
            pytest.raises(psycopg.errors.CheckViolation) as refused,
        ):
            anybody.execute(f"UPDATE accounting.invoice_documents SET {change}".encode())
        assert refused.value.diag.constraint_name == "frozen"
    assert stored(world.clone, invoice_id) == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounting.invoice_documents",
        "TRUNCATE accounting.invoice_documents",
        "INSERT INTO accounting.invoice_documents (invoice_id, content, content_sha256)"
        " SELECT id, '{}', sha256('{}') FROM accounting.invoices",
    ],
)
def test_the_app_neither_adds_nor_takes_away_documents(world: World, statement: str) -> None:
    world.run(drafted_for_anybody(world.db))
    with (
        psycopg.connect(world.clone.url) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute(statement.encode())


async def drafted_for_anybody(db: Database) -> None:
    await drafted(db, await customer(db))


def test_a_page_with_another_hash_is_not_taken(world: World) -> None:
    async def prepare(db: Database) -> None:
        await issued(db, await customer(db))

    world.run(prepare(world.db))
    for pdf, sha256 in (("x", "y"), ("x", None), (None, "x")):
        with (
            psycopg.connect(world.clone.url) as app,
            pytest.raises(psycopg.errors.CheckViolation, match="invoice_documents"),
        ):
            app.execute(
                "UPDATE accounting.invoice_documents SET pdf = %s::bytea,"
                " pdf_sha256 = sha256(%s::bytea), rendered_at = bedplate.now()",
                [pdf, sha256],
            )


TAMPERED = {
    "content": "UPDATE accounting.invoice_documents SET"
    " content = jsonb_set(content, '{total}', '\"1.00\"')",
    "content and its hash": "UPDATE accounting.invoice_documents SET"
    " content = jsonb_set(content, '{total}', '\"1.00\"'),"
    " content_sha256 = sha256(convert_to(jsonb_set(content, '{total}', '\"1.00\"')::text, 'UTF8'))",
    "a page past its rule": "ALTER TABLE accounting.invoice_documents"
    " DROP CONSTRAINT ck_invoice_documents_pdf_sha256;"
    " UPDATE accounting.invoice_documents SET pdf = 'x'",
    "gone": "DELETE FROM accounting.invoice_documents",
}


@pytest.mark.parametrize("statement", TAMPERED.values(), ids=TAMPERED)
def test_what_the_owner_does_past_the_triggers_is_found(world: World, statement: str) -> None:
    async def prepare(db: Database) -> None:
        invoice = await issued(db, await customer(db))
        assert await render_document(db, invoice.id)

    world.run(prepare(world.db))
    assert broken(world) == {}
    as_owner(world.clone, past_triggers(statement))
    assert set(broken(world)) == {"accounting.E007"}


def test_content_is_all_that_a_page_is_made_of(wide_world: World) -> None:
    """The stored content, carried elsewhere as text, makes the stored page."""
    world = wide_world

    async def body(db: Database) -> Document:
        invoice = await issued(db, await customer(db))
        assert await render_document(db, invoice.id)
        return await document_of(db, invoice.id)

    made = world.run(body(world.db))
    content, pdf, sha256, at = stored(world.clone, made.invoice_id)
    assert render(json.loads(json.dumps(content))) == bytes(pdf) == made.pdf
    assert (bytes(sha256).hex(), at) == (made.sha256, made.rendered_at)
