"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a repeated request gets the first one's
answer.

    @router.post("/consents/decisions", status_code=201)
    async def post(..., claim: Annotated[Claim | None, Depends(claimed)]) -> Response:
        receipt = await decide(pool, command, claim)
        ...                                # whose transaction ends with: await claim.keep(conn, 201, body)

The answer is kept in the transaction of the work. A repetition does the work again, fails to keep it, is
rolled back, and the stored answer is sent instead: no extra round trip for the first request.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from fastapi import Request, Response

from kielto.service.database.pool import Conn, Pool
from kielto.service.http.auth import identify
from kielto.service.http.problem import ProblemError
from kielto.service.support.limits import FIXED

_KEY = re.compile(f"[!-~]{{1,{FIXED.idempotency_key_characters}}}")

_KEEP = """
INSERT INTO idempotency (token_hash, key, request_hash, status, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING 1"""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    token_hash: bytes
    key: str
    request_hash: bytes

    async def keep(self, conn: Conn, status: int, body: bytes) -> None:
        """The last statement of the transaction. Raises RepeatedRequestError when the key was used before."""
        kept = await conn.fetchval(_KEEP, self.token_hash, self.key, self.request_hash, status, body)
        if kept is None:
            raise RepeatedRequestError(self)


class RepeatedRequestError(Exception):
    """The key was used before: roll back. The HTTP layer answers with what was stored; do not catch it."""

    def __init__(self, claim: IdempotencyKey) -> None:
        super().__init__("the idempotency key was used before")
        self.claim = claim


async def idempotency_key(request: Request) -> IdempotencyKey | None:
    """FastAPI dependency: the request's Idempotency-Key, if it has one. Raises ProblemError 400 when it is
    malformed.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise ProblemError(
            400,
            "malformed-idempotency-key",
            f"The Idempotency-Key must have 1 to {FIXED.idempotency_key_characters} visible ASCII characters",
        )
    caller = await identify(request)
    asked = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    asked.update(await request.body())
    # One person may act for two companies: what one was answered is not the other's.
    whose = hashlib.sha256(f"{caller.company or ''}\n{caller.subject}".encode())
    claim = IdempotencyKey(whose.digest(), key, asked.digest())
    request.state.claim = claim
    return claim


_FIND = "SELECT request_hash, status, body FROM idempotency WHERE token_hash = $1 AND key = $2"


async def replay(pool: Pool, claim: IdempotencyKey) -> Response | None:
    """The stored answer; None when there is none. Raises ProblemError 422 when it answers another request."""
    row = await pool.fetchrow(_FIND, claim.token_hash, claim.key)
    if row is None:
        return None
    if not hmac.compare_digest(row["request_hash"], claim.request_hash):
        raise ProblemError(422, "idempotency-key-reused", "The Idempotency-Key was used for another request")
    return Response(
        row["body"],
        row["status"],
        headers={"Idempotency-Replayed": "true"},
        media_type="application/json",
    )


_FORGET_OLD = "DELETE FROM idempotency WHERE at < now() - interval '7 days'"


async def forget_old(pool: Pool) -> None:
    """Answers are kept for a week."""
    await pool.execute(_FORGET_OLD)
