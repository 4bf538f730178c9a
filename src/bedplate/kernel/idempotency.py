"""Idempotency: a request under a key happens once; its answer is stored and replayed.

The key is taken first, in the transaction of the work itself, so key, work and answer commit
together or not at all. A second request with the same key waits for the first to end: it then gets
the stored answer, or, if the first rolled back, does the work. Keys are kept for 90 days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import LargeBinary, Text, bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL, JSONB

from bedplate.kernel.context import UserId
from bedplate.kernel.errors import FieldInvalid, IdempotencyConflict
from bedplate.kernel.query import Query
from bedplate.kernel.transaction import Transaction

A = TypeVar("A")

KEEP = timedelta(days=90)
"""How long a key and its answer are kept."""

KEY_CHARACTERS_MAX = 255

# What names a key, in every statement about it.
_NAMED = tuple(bindparam(name, type_=Text) for name in ("user_id", "action", "key"))

_TAKE: Query[Any] = Query(
    text(
        "INSERT INTO bedplate.idempotency_keys (user_id, action, key, request_hash, expires_at) "
        "VALUES (:user_id, :action, :key, :request_hash, bedplate.now() + :keep) "
        "ON CONFLICT DO NOTHING RETURNING true"
    ).bindparams(
        *_NAMED,
        bindparam("request_hash", type_=LargeBinary),
        bindparam("keep", type_=INTERVAL),
    )
)
_STORED: Query[Any] = Query(
    text(
        "SELECT request_hash, answer FROM bedplate.idempotency_keys "
        "WHERE user_id = :user_id AND action = :action AND key = :key"
    ).bindparams(
        *_NAMED,
    )
)
_STORE: Query[Any] = Query(
    text(
        "UPDATE bedplate.idempotency_keys SET answer = :answer "
        "WHERE user_id = :user_id AND action = :action AND key = :key"
    ).bindparams(
        *_NAMED,
        bindparam("answer", type_=JSONB),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request under its key: who asks for what, and everything the answer depends on."""

    user_id: UserId | None
    action: str
    key: str
    content: Mapping[str, Any]

    def named(self) -> dict[str, str]:
        """Return the key's three parts as they are stored."""
        who = "" if self.user_id is None else str(self.user_id)
        return {"user_id": who, "action": self.action, "key": self.key}

    def digest(self) -> bytes:
        """Return a hash of the content: what tells a repeated request from another one."""
        return hashlib.sha256(msgspec.json.encode(self.content, order="sorted")).digest()


@dataclass(frozen=True, slots=True)
class Once(Generic[A]):
    """The answer to a request, and whether it was given before."""

    answer: A
    replayed: bool


async def once(
    tx: Transaction, request: Request, work: Callable[[], Awaitable[A]], answer: type[A]
) -> Once[A]:
    """Do `work` under the request's key, or return the answer it gave before.

    `answer` is the type to decode a stored answer to. Raises IdempotencyConflict when the key was
    used for another request, FieldInvalid for an empty or overlong key.
    """
    if not 1 <= len(request.key) <= KEY_CHARACTERS_MAX:
        raise FieldInvalid(
            "An idempotency key has 1 to 255 characters.", "Use a UUID made by the client."
        )
    named, digest = request.named(), request.digest()
    if await tx.first(_TAKE, **named, request_hash=digest, keep=KEEP) is None:
        return Once(await _replay(tx, request, named, digest, answer), True)
    done = await work()
    await tx.run(_STORE, **named, answer=msgspec.to_builtins(done, str_keys=True))
    return Once(done, False)


async def _replay(
    tx: Transaction, request: Request, named: dict[str, str], digest: bytes, answer: type[A]
) -> A:
    stored_hash, stored = await tx.one(_STORED, **named)
    if bytes(stored_hash) != digest:
        raise IdempotencyConflict(
            f"The key was already used for another {request.action} request of this user."
        )
    return msgspec.convert(stored, answer, str_keys=True)
