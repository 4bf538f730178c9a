"""FastAPI: no success before COMMIT, errors with their status, and who is acting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy import func, select, text
from starlette.responses import Response

from bedplate import Database, Project, Repository, Transaction, errors
from bedplate.integrations import fastapi
from bedplate.integrations.fastapi import Db, Read, Tx, add_error_handlers, attach, lifespan
from bedplate.modules.auth import EmailTaken, User, create_user, users
from bedplate.testing import Clone
from tests.shop import Customer, Order, OrderLine

customers, orders, lines = Repository(Customer), Repository(Order), Repository(OrderLine)

# FastAPI's own default: the dependency ends after the response was sent.
LateTx = Annotated[Transaction, Depends(fastapi.transaction)]


async def doomed(tx: Transaction) -> None:
    """Order a product that does not exist: nothing complains before COMMIT."""
    user = await create_user(tx, User(email="ada@example.com"))
    customer = await customers.create(tx, Customer(user_id=user.id, name="Ada"))
    order = await orders.create(tx, Order(customer_id=customer.id, number=1, total=Decimal(9)))
    line = OrderLine(order_id=order.id, product_id=uuid4(), position=1, unit_price=Decimal(9))
    await lines.create(tx, line)


def application() -> FastAPI:
    app = FastAPI()
    add_error_handlers(app)

    @app.post("/json", status_code=201)
    async def answer_json(tx: Tx) -> dict[str, bool]:
        await doomed(tx)
        return {"stored": True}

    @app.post("/stream")
    async def answer_in_pieces(tx: Tx) -> StreamingResponse:
        await doomed(tx)
        return StreamingResponse(iter([b"stored"]))

    @app.post("/late", status_code=201)
    async def answer_before_commit(tx: LateTx) -> dict[str, bool]:
        await doomed(tx)
        return {"stored": True}

    @app.post("/lost", status_code=201)
    async def lose_the_connection(tx: Tx) -> None:
        await doomed(tx)
        backend = await tx.one(select(func.pg_backend_pid()))
        url = tx.database.url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])

    @app.post("/users/{email}", status_code=201)
    async def register(email: str, tx: Tx, outcome: str = "fine") -> UUID:
        user = await create_user(tx, User(email=email))
        if outcome == "raised":
            raise HTTPException(418)
        if outcome == "slow":
            await asyncio.sleep(60)
        return user.id

    @app.get("/users/{user_id}")
    async def show(user_id: UUID, db: Db) -> dict[str, str | None]:
        return {"email": (await users.get(db, user_id)).email}

    @app.get("/acting")
    async def tell_who(read: Read) -> dict[str, str | None]:
        names = ("actor", "request_id", "ip", "user_agent")
        settings = [func.current_setting(f"bedplate.{name}", True) for name in names]
        return dict(zip(names, await read.one(select(*settings)), strict=True))

    @app.post("/read-only", status_code=201)
    async def write_through_a_reader(read: Read) -> None:
        await read.run(text("UPDATE auth.users SET name = 'Ada'"))

    return app


def _actor(request: Request) -> str | None:
    return request.headers.get("x-verified-user")


@pytest_asyncio.fixture
async def project(bedplate_clone: Clone) -> AsyncIterator[Project]:
    """A project with one connection, so that a connection that is not given back is missed."""
    settings = replace(bedplate_clone.settings, pool_size_max=1, pool_wait_timeout_ms=20_000)
    async with await Project.open(settings=settings) as opened:
        yield opened


@pytest.fixture
def app(project: Project) -> FastAPI:
    made = application()
    attach(made, project, actor=_actor)
    return made


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("203.0.113.7", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app under a real server."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event to wait for.
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        server.should_exit = True
        await serving


def _in_use(db: Database) -> int:
    statistics = db.statistics()
    return statistics["pool_size"] - statistics["pool_available"]


@pytest.mark.parametrize("path", ["/json", "/stream"])
async def test_a_constraint_that_fails_at_commit_is_no_success(
    path: str, client: httpx.AsyncClient, db: Database
) -> None:
    for _ in range(3):
        response = await client.post(path)
        assert response.status_code == 409
        assert response.json()["error"]["code"] == "foreign_key_violation"
    assert await users.count(db) == 0
    assert _in_use(db) == 0


async def test_with_the_default_scope_the_same_request_answers_a_success(
    client: httpx.AsyncClient, db: Database
) -> None:
    """The control: without the function scope the client is told of rows that do not exist."""
    response = await client.post("/late")
    assert response.status_code == 201
    assert response.json() == {"stored": True}
    assert await users.count(db) == 0


async def test_a_real_server_says_the_same(app: FastAPI, db: Database) -> None:
    async with served(app) as client:
        for path in ("/json", "/stream"):
            response = await client.post(path)
            assert response.status_code == 409
            assert response.json()["error"]["code"] == "foreign_key_violation"
        assert (await client.post("/users/ada@example.com")).status_code == 201
    assert await users.count(db) == 1
    assert _in_use(db) == 0


async def test_a_lost_connection_is_logged_and_replaced(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "bedplate"):
        response = await client.post("/lost")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "connection_lost"
    assert [(r.levelno, "POST /lost failed" in r.message) for r in caplog.records] == [
        (logging.ERROR, True)
    ]
    assert (await client.post("/users/ada@example.com")).status_code == 201


async def test_an_error_of_the_client_is_answered_and_not_logged(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "bedplate"):
        await client.post("/users/ada@example.com")
        response = await client.post("/users/ADA@example.com")
    assert response.status_code == 422
    assert response.json() == {
        "error": {
            "code": "auth.email_taken",
            "message": "A user already has this e-mail address.",
            "next_step": EmailTaken.advice,
        }
    }
    assert not caplog.records


async def test_a_key_without_a_row_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/users/{uuid4()}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


async def test_a_reader_writes_nothing(client: httpx.AsyncClient) -> None:
    response = await client.post("/read-only")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "read_only"


async def test_what_is_raised_rolls_back(client: httpx.AsyncClient, db: Database) -> None:
    response = await client.post("/users/ada@example.com?outcome=raised")
    assert response.status_code == 418
    assert await users.count(db) == 0


async def test_a_request_that_is_cancelled_gives_its_connection_back(
    client: httpx.AsyncClient, db: Database
) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.post("/users/ada@example.com?outcome=slow"), 0.5)
    assert await users.count(db) == 0
    assert _in_use(db) == 0


async def test_every_transaction_knows_who_acts(client: httpx.AsyncClient) -> None:
    headers = {"x-verified-user": "ada", "x-request-id": "r1", "user-agent": "curl/8"}
    told = (await client.get("/acting", headers=headers)).json()
    assert told == {"actor": "ada", "request_id": "r1", "ip": "203.0.113.7", "user_agent": "curl/8"}


async def test_nobody_acts_by_default_and_a_request_gets_an_id(client: httpx.AsyncClient) -> None:
    first, second = [(await client.get("/acting")).json() for _ in range(2)]
    assert first["actor"] in (None, "")
    assert UUID(first["request_id"]) != UUID(second["request_id"])
    long = (await client.get("/acting", headers={"x-request-id": "r" * 500})).json()
    assert long["request_id"] == "r" * fastapi.REQUEST_ID_CHARACTERS_MAX


async def test_lifespan_opens_the_folders_project_and_closes_it(
    bedplate_clone: Clone, tmp_path: Path
) -> None:
    (tmp_path / "bedplate.toml").write_text(
        f'database_url = "{bedplate_clone.url}"\nmodules = ["auth", "tests.shop"]\n'
    )
    app = application()
    app.router.lifespan_context = lifespan(tmp_path, actor=_actor)
    async with served(app) as client:
        told = (await client.get("/acting", headers={"x-verified-user": "ada"})).json()
        assert told["actor"] == "ada"
        assert told["ip"] == "127.0.0.1"
    with pytest.raises(errors.HandleClosed):
        await users.count(app.state.bedplate.db)


async def test_work_after_the_response_needs_a_transaction_of_its_own(
    app: FastAPI, client: httpx.AsyncClient, db: Database
) -> None:
    async def later(tx: Transaction) -> None:
        with pytest.raises(errors.HandleClosed):
            await users.count(tx)
        async with db.transaction() as own:
            await create_user(own, User(email="grace@example.com"))

    @app.post("/later")
    async def answer(tx: Tx, tasks: BackgroundTasks) -> None:
        await create_user(tx, User(email="ada@example.com"))
        tasks.add_task(later, tx)

    assert (await client.post("/later")).status_code == 200
    assert await users.count(db) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("x"), 404),
        (errors.UniqueViolation("x"), 409),
        (errors.StaleVersion("x"), 409),
        (errors.FloatRefused("x"), 422),
        (errors.CheckViolation("x"), 422),
        (errors.CursorInvalid("x"), 400),
        (errors.PermissionDenied("x"), 403),
        (errors.Deadlock("x"), 503),
        (errors.PoolTimeout("x"), 503),
        (EmailTaken("x"), 422),
        (errors.TableNotWritable("x"), 500),
        (errors.DatabaseError("x"), 500),
    ],
)
def test_an_error_has_the_status_of_its_nearest_kind(
    error: errors.BedplateError, status: int
) -> None:
    assert fastapi.status_of(error) == status


async def test_a_plain_response_is_held_back_too(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.post("/plain")
    async def answer(tx: Tx) -> Response:
        await doomed(tx)
        return JSONResponse({"stored": True}, 202)

    assert (await client.post("/plain")).status_code == 409
