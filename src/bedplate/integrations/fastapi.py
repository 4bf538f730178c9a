"""FastAPI: one request, one transaction, and never a 2xx before COMMIT has returned.

    app = FastAPI(lifespan=lifespan())
    add_error_handlers(app)

    @app.post("/users", status_code=201)
    async def register(body: NewUser, tx: Tx) -> UserOut:
        return UserOut.of(await create_user(tx, User(email=body.email)))

The dependencies have function scope: they end before the response is sent, so a constraint that
fails at COMMIT is an error to the client and not a lie (with FastAPI's default scope it would be a
200 that stored nothing).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
)
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from bedplate.kernel import errors, ids
from bedplate.kernel.context import Context, UserId, acting
from bedplate.kernel.database import Database
from bedplate.kernel.transaction import Reader, Transaction
from bedplate.project import Project

logger = logging.getLogger("bedplate")

Actor = Callable[[Request], UserId | None]
"""Says who a request acts as; the place to look at a session or a token already verified."""

REQUEST_ID_CHARACTERS_MAX = 128

STATUS: dict[type[errors.BedplateError], int] = {
    errors.NotFound: 404,
    errors.UniqueViolation: 409,
    errors.ExclusionViolation: 409,
    errors.ForeignKeyViolation: 409,
    errors.IdempotencyConflict: 409,
    errors.StaleVersion: 409,
    errors.FieldInvalid: 422,
    errors.CheckViolation: 422,
    errors.NotNullViolation: 422,
    errors.DataError: 422,
    errors.CursorInvalid: 400,
    errors.LimitExceeded: 400,
    errors.PermissionDenied: 403,
    errors.RetryableError: 503,
    errors.LockTimeout: 503,
    errors.StatementTimeout: 503,
    errors.ConnectionFailed: 503,
}
"""The HTTP status of each error; a module's own errors are 422, everything else is 500."""


def lifespan(
    folder: Path | str | None = None, *, actor: Actor | None = None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan that opens the folder's project for the app and closes it at the end."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncGenerator[None]:
        async with await Project.open(folder) as project:
            attach(app, project, actor=actor)
            yield

    return opened


def attach(app: FastAPI, project: Project, *, actor: Actor | None = None) -> None:
    """Let the app's requests use a project that somebody else opened and will close."""
    app.state.bedplate = project
    app.state.bedplate_actor = actor


def database(request: Request) -> Database:
    """Return the project's database, for single statements."""
    project: Project = request.app.state.bedplate
    return project.db


async def transaction(request: Request) -> AsyncGenerator[Transaction]:
    """Yield the request's transaction; committed before the response is sent."""
    with _acting(request):
        async with database(request).transaction() as tx:
            yield tx


async def reader(request: Request) -> AsyncGenerator[Reader]:
    """Yield a reader for the request."""
    with _acting(request):
        async with database(request).read() as reading:
            yield reading


Db = Annotated[Database, Depends(database)]
Tx = Annotated[Transaction, Depends(transaction, scope="function")]
Read = Annotated[Reader, Depends(reader, scope="function")]


def add_error_handlers(app: FastAPI) -> None:
    """Answer Bedplate's errors with their status, code, message and next step."""
    app.add_exception_handler(errors.BedplateError, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.BedplateError)
    status = status_of(error)
    if status >= 500:
        logger.error("%s %s failed: %s", request.method, request.url.path, error)
    described = {"code": error.code, "message": error.message, "next_step": error.next_step}
    return JSONResponse({"error": described}, status_code=status)


def status_of(error: errors.BedplateError) -> int:
    """Return the HTTP status that tells a client what an error means."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 422 if "." in error.code else 500


def _acting(request: Request) -> AbstractContextManager[Context]:
    actor: Actor | None = request.app.state.bedplate_actor
    given = request.headers.get("x-request-id", "")[:REQUEST_ID_CHARACTERS_MAX]
    return acting(
        actor(request) if actor is not None else None,
        request_id=given or str(ids.new()),
        ip=request.client.host if request.client is not None else None,
        user_agent=request.headers.get("user-agent"),
    )
