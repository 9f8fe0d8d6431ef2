"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a repeated request gets the first one's
answer.

    @router.post("/consents/decisions", status_code=201)
    async def post(..., claim: Annotated[Claim | None, Depends(claimed)]) -> Response:
        receipt = await decide(pool, command, claim)        # its transaction ends with:  await
        claim.keep(conn, 201, body)

The answer is kept in the transaction of the work. A repetition does the work again, fails to keep it, is
rolled back, and the stored answer is sent instead: no extra round trip for the first request.
"""

from dataclasses import dataclass

from fastapi import Request

from kielto.service.postgres import Conn


class Repeated(Exception):
    """The key was used before: roll back. The HTTP layer answers with what was stored; do not catch it."""


@dataclass(frozen=True, slots=True)
class Claim:
    token_hash: bytes
    key: str
    request_hash: bytes

    async def keep(self, conn: Conn, status: int, body: bytes) -> None:
        """The last statement of the transaction. Raises Repeated when the key was used before."""
        raise NotImplementedError


async def claimed(request: Request) -> Claim | None:
    """FastAPI dependency: the request's Idempotency-Key, if it has one. Raises Problem 400 when it is
    malformed.
    """
    raise NotImplementedError
