"""A service in a page: people, published as customers' pair of topics. Run as `python -m`, like the real
ones.
"""

from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from kielto.events.records import Customer
from kielto.events.topics import CUSTOMERS
from kielto.service.database import pool
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import ProblemError
from kielto.service.outbox import publish
from kielto.service.process.main import main
from kielto.service.process.platform import Platform, Service
from kielto.service.support import tracing


class ExamplePerson(BaseModel):
    deceased: bool = False
    note: str = ""


def build(platform: Platform) -> Service:
    router = APIRouter(prefix="/customers")

    @router.post("/people/{ident}", status_code=201)
    async def post(
        ident: UUID,
        person: ExamplePerson,
        caller: Annotated[Caller, Depends(RoleCheck("register"))],
        claim: Annotated[IdempotencyKey | None, Depends(idempotency_key)],
    ) -> Response:
        caller.must_act_for(None)
        async with pool.transaction(platform.pool) as conn:
            await conn.execute(
                "INSERT INTO people VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET deceased = $2",
                ident,
                person.deceased,
            )
            record = Customer(version="0.0", subject=ident, deceased=person.deceased)
            change = publish.RecordChange("customers", str(ident), record, express=person.deceased)
            (version,) = await publish.publish(conn, [change], traceparent=tracing.current())
            body = f'{{"version":"{version}"}}'.encode()
            if claim:
                await claim.keep(conn, 201, body)
        return Response(body, 201, media_type="application/json")

    @router.get("/people/{ident}")
    async def get(ident: UUID) -> dict[str, bool]:
        row = await platform.pool.fetchrow("SELECT deceased FROM people WHERE id = $1", ident)
        if row is None:
            raise ProblemError(404, "no-such-person", "There is nobody with this id.")
        return {"deceased": row["deceased"]}

    @router.get("/broken")
    async def broken() -> None:
        await platform.pool.fetch("SELECT 'secret-value'::integer")

    return Service(families=(CUSTOMERS,), routers=[router])


if __name__ == "__main__":
    main("customers", Path(__file__).parent / "writer_migrations", build)
