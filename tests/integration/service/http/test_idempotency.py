"""An Idempotency-Key belongs to one caller acting for one company."""

from typing import Annotated, Any, cast

import httpx
from fastapi import APIRouter, Depends, Response

from kielto.service.database import pool
from kielto.service.http.auth import Caller, RoleCheck, Verifier
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.process.application import Health, create_app
from tests.integration.service.support import Bench


class KnownKey:
    """The token is the company's id; always the same person."""

    async def verify(self, token: str) -> Caller:
        return Caller("somebody", frozenset({"desk"}), token)


def client_of(service: Bench) -> httpx.AsyncClient:
    router = APIRouter(prefix="/test")

    @router.post("/things", status_code=201)
    async def post(
        _: dict[str, Any],
        caller: Annotated[Caller, Depends(RoleCheck("desk"))],
        claim: Annotated[IdempotencyKey | None, Depends(idempotency_key)],
    ) -> Response:
        body = f'{{"of":"{caller.company}"}}'.encode()
        async with pool.transaction(service.pool) as conn:
            if claim:
                await claim.keep(conn, 201, body)
        return Response(body, 201, media_type="application/json")

    health, verifier = Health(claimed=True), cast(Verifier, KnownKey())
    app = create_app("test", [router], pool=service.pool, verifier=verifier, health=health)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_one_key_used_by_two_companies_answers_each_its_own(service: Bench) -> None:
    async with client_of(service) as client:

        async def post(company: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {company}", "Idempotency-Key": "k"}
            return await client.post("/test/things", json={}, headers=headers)

        for company in ("kauppa", "sahko"):
            first = await post(company)
            assert (first.status_code, first.json()) == (201, {"of": company})
            assert "Idempotency-Replayed" not in first.headers
        for company in ("kauppa", "sahko"):
            again = await post(company)
            assert again.json() == {"of": company}
            assert again.headers["Idempotency-Replayed"] == "true"
