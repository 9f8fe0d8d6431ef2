"""Take in a company's rows as they stream in: many to a transaction, each with its own outcome.

Sent again, whole or from any row, it changes nothing twice: a row is a statement of what is, known by its
number.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from pydantic import ValidationError

from kielto.service.limits import FIXED
from kielto.service.postgres import Conn
from services.customers.metrics import IMPORTED_ROWS, count_refused
from services.customers.model.draft import Speaker
from services.customers.model.given import GivenRow
from services.customers.model.problems import Problem, Refused, problems_of
from services.customers.model.reading import read_row
from services.customers.use_cases.context import Context, in_transaction
from services.customers.use_cases.register import Entry, Outcome, register

MAX_LINE = FIXED.row_bytes
"""Bytes of one row."""
_TOO_MANY = (
    "names an identifier, after too many refused rows that did: correct them and send it again in an hour"
)
_BATCH_ROWS = 500
_BATCH_BYTES = 1024 * 1024
_BREATHER = 20  # rows read between two chances for other requests

Line = tuple[int, bytes | None]
"""The row's number, from 1, and its bytes; None when there were too many."""
Report = list[tuple[int, Outcome]]
_Batch = list[tuple[int, Entry | Outcome]]


async def import_rows(
    context: Context, company: str, scope: str | None, lines: AsyncIterator[Line]
) -> AsyncIterator[Report]:
    """Outcomes in order, a batch at a time, each batch committed before it is reported.

    `scope` is the caller's company (None: the whole group). What the database raises ends it; everything
    reported before then stands.
    """
    async for batch in _ahead(_batches(context, company, scope, lines)):
        began = time.monotonic()
        report = await _take_in(context, company, batch)
        took = time.monotonic() - began
        yield report
        await context.courtesy.rest(took)


async def _batches(
    context: Context, company: str, scope: str | None, lines: AsyncIterator[Line]
) -> AsyncIterator[_Batch]:
    batch: _Batch = []
    size = 0
    async for row, line in lines:
        batch.append((row, _read(context, company, scope, line)))
        size += len(line or b"")
        if len(batch) % _BREATHER == 0:
            await asyncio.sleep(0)
        if len(batch) >= context.courtesy.portion(_BATCH_ROWS) or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _ahead(batches: AsyncIterator[_Batch]) -> AsyncIterator[_Batch]:
    """The same batches, the next one read while the database works on the last one."""

    async def following() -> _Batch | None:
        return await anext(batches, None)

    coming = asyncio.create_task(following())
    try:
        while (batch := await coming) is not None:
            coming = asyncio.create_task(following())
            yield batch
    finally:
        coming.cancel()


def _read(context: Context, company: str, scope: str | None, line: bytes | None) -> Entry | Outcome:
    if line is None:
        return Outcome("refused", problems=(Problem("row", f"has at most {MAX_LINE} bytes"),))
    try:
        given = GivenRow.model_validate_json(line)
    except ValidationError as error:
        return Outcome("refused", problems=tuple(problems_of(error)))
    by_identifier = bool(given.identity_code or given.business_id)
    if by_identifier and context.guesses.wait(company):
        return Outcome("refused", problems=(Problem("row", _TOO_MANY),))
    try:
        draft = read_row(given, company, scope, context.terms, context.moment().today)
    except Refused as refused:
        if by_identifier:
            _count(context, company)
        return Outcome("refused", problems=refused.problems)
    return Entry(draft, Speaker(company, importing=True), scope)


def _count(context: Context, company: str) -> None:
    context.guesses.refused(company)
    count_refused(company)


async def _take_in(context: Context, company: str, batch: _Batch) -> Report:
    entries = [e for _, e in batch if isinstance(e, Entry)]

    async def work(conn: Conn) -> list[Outcome]:
        return await register(conn, context, entries)

    outcomes = iter(await in_transaction(context.pool, work) if entries else [])
    report = [(row, next(outcomes) if isinstance(e, Entry) else e) for row, e in batch]
    for (_, outcome), (_, entry) in zip(report, batch, strict=True):
        IMPORTED_ROWS.labels(company, outcome.status).inc()
        if outcome.status == "refused" and isinstance(entry, Entry) and entry.by_identifier:
            _count(context, company)
    return report
