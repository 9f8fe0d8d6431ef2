"""Streaming import: JSON Lines in, a report row by row out, while the rows still come in."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from kielto.events.base import Ident
from kielto.service.database import audit_entry, epoch
from kielto.service.database.pool import Pool
from kielto.service.http.problem import ProblemError
from kielto.service.http.strict_route import StrictRoute
from kielto.service.http.throttle import Throttled
from kielto.validation import FieldRule
from services.customers.api import examples
from services.customers.api.bodies import Give
from services.customers.api.callers import CallerIds, Writer, invalid
from services.customers.api.streams import ResponseBuffer, ResponseNotReadError, lines
from services.customers.model.given import Country, GivenRow
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.import_rows import MAX_LINE, Import, Report, import_rows
from services.customers.use_cases.register import RegistrationOutcome

PATH = "/customers/imports"
_NDJSON = "application/x-ndjson"


def row_schema() -> dict[str, Any]:
    """Without references: those of pydantic would point into the OpenAPI document, where nothing is."""
    schema = GivenRow.model_json_schema()
    parts = schema.pop("$defs")

    def whole(part: Any) -> Any:
        if isinstance(part, dict):
            name = part.get("$ref", "").removeprefix("#/$defs/")
            rest = {k: whole(v) for k, v in part.items() if k != "$ref"}
            return {**whole(parts[name]), **rest} if name else rest
        return [whole(p) for p in part] if isinstance(part, list) else part

    inlined: dict[str, Any] = whole(schema)
    return inlined


_BODY = {
    "requestBody": {
        "required": True,
        "description": f"One customer of the company per line, at most {MAX_LINE} bytes each.",
        "content": {_NDJSON: {"schema": row_schema(), "example": examples.ROW}},
    }
}
_COUNTRY = (
    "Country (ISO 3166 alpha-2) of phone numbers and addresses whose row names none; default: the company's."
)
_DRY_RUN = "Report what an import would do, and change nothing. Batches of rows are tried one by one."
_PROGRESS_SECONDS = 5.0

log = structlog.get_logger(__name__)


def router(context: CustomersContext) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, tags=["imports"])

    @routes.post(
        PATH, openapi_extra=_BODY, responses={200: {"content": {_NDJSON: {}}}}, response_class=Response
    )
    async def post(
        company: Annotated[Ident, Query()],
        request: Request,
        caller: Writer,
        throttle: Throttled,
        country: Annotated[Country | None, Query(description=_COUNTRY)] = None,
        dry_run: Annotated[bool, Query(description=_DRY_RUN)] = False,
    ) -> Response:
        """Import a company's customers. The answer has a line per row, in order, as soon as the row is committed:
        `{row, status: created|changed|unchanged|refused, id, errors: [{field, rule}], warnings: [{field, rule}]}`, and
        at the end `{"summary": {...}}`. If there is no summary, rows after the last reported one may be missing: send
        everything again; rows that were imported are `unchanged`. A refused row does not stop the others.

        A row with a phone number, an e-mail address or a postal address that cannot be read is imported without it:
        `warnings` name the field and the rule, and the value is kept as it was given. So is a phone number without a
        country code that is not a number in use in the country assumed for it.
        """
        caller.must_act_for(company)
        if company not in context.terms.group.company_ids:
            raise invalid([FieldRule("company", "must be a company of the group")])
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _NDJSON:
            raise ProblemError(415, "unsupported-media-type", f"Unsupported media type: send {_NDJSON}")
        await epoch.current(context.pool)
        give = CallerIds(context.keys, caller).give
        given = Import(company, caller.company, country, dry_run)
        reports = import_rows(context, given, lines(request.stream(), MAX_LINE))
        return _Streamed(context.pool, given, reports, give, throttle.importing(caller))

    return routes


class _Streamed(Response):
    """Starlette's own StreamingResponse would take the request's messages as signs of a disconnect."""

    media_type = _NDJSON

    def __init__(
        self,
        pool: Pool,
        given: Import,
        reports: AsyncIterator[Report],
        give: Give,
        turn: AbstractAsyncContextManager[None],
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._pool = pool
        self._given, self._reports, self._give, self._turn = given, reports, give, turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        async with self._turn:
            await self._answer(send)

    async def _answer(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with ResponseBuffer() as spool:
            working = asyncio.create_task(self._work(spool))
            try:
                async for data in spool.chunks():
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _work(self, spool: ResponseBuffer) -> None:
        company, dry_run = self._given.company, self._given.dry_run
        counts: Counter[str] = Counter()
        row, began, told = 0, time.monotonic(), time.monotonic()
        try:
            async for report in self._reports:
                await spool.write(b"".join(_line(n, outcome, self._give) for n, outcome in report))
                counts.update(outcome.status for _, outcome in report)
                counts["warnings"] += sum(len(outcome.warnings) for _, outcome in report)
                row = report[-1][0]
                if time.monotonic() - told > _PROGRESS_SECONDS:
                    told = time.monotonic()
                    log.info("import.progress", company=company, row=row, **counts)
            seconds = round(time.monotonic() - began, 3)
            summary = {**_all(counts), "seconds": seconds, "dry_run": dry_run}
            await spool.write(orjson.dumps({"summary": summary}) + b"\n")
            log.info("import.finished", company=company, **summary)
        except (ClientDisconnect, ResponseNotReadError) as error:
            log.info("import.client_disconnected", company=company, row=row, why=type(error).__name__)
            if isinstance(error, ResponseNotReadError):
                await spool.write_last(orjson.dumps(_stopped(row)) + b"\n")
        except Exception as error:  # noqa: BLE001 - the status was sent: only a line can report it
            # The type alone: a database's message may repeat the row.
            log.error("import.stopped", company=company, row=row, error=type(error).__name__)  # noqa: TRY400 - no text
            await spool.write(orjson.dumps(_stopped(row)) + b"\n")
        finally:
            try:
                await audit_entry.counted(self._pool, **_all(counts), dry_run=int(dry_run))
            except Exception as error:  # noqa: BLE001 - the client waits for the end
                log.warning("import.not_in_audit_trail", company=company, error=type(error).__name__)
            finally:
                await spool.end()


def _line(row: int, outcome: RegistrationOutcome, give: Give) -> bytes:
    line: dict[str, Any] = {"row": row, "status": outcome.status}
    if outcome.id is not None:
        line["id"] = give(outcome.id)
    if outcome.problems:
        line["errors"] = [p._asdict() for p in outcome.problems]
    if outcome.warnings:
        line["warnings"] = [p._asdict() for p in outcome.warnings]
    return orjson.dumps(line) + b"\n"


def _all(counts: Counter[str]) -> dict[str, int]:
    statuses = {status: counts[status] for status in ("created", "changed", "unchanged", "refused")}
    return {"rows": sum(statuses.values()), **statuses, "warnings": counts["warnings"]}


def _stopped(row: int) -> dict[str, Any]:
    return {
        "problem": {
            "type": "urn:kielto:problem:import-stopped",
            "title": "The import stopped: send it again from the row after this one",
            "status": 503,
            "row": row,
        }
    }
