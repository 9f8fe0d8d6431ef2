"""Import a company's rows as they stream in: many to a transaction, each with its own outcome.

Sent again, whole or from any row, an import changes nothing twice: a row states what is, and is known by its number.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from kielto.service.database.pool import Conn
from kielto.service.support.limits import FIXED
from kielto.strict_json import DuplicateNameError, NotJsonError
from kielto.validation import FieldRule
from services.customers.metrics import IMPORTED_ROWS
from services.customers.model import rows
from services.customers.model.draft import Draft, Speaker
from services.customers.model.problems import CustomerRefusedError, problems_of, refused
from services.customers.store import unreadable
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.register import Registration, RegistrationOutcome, register

MAX_LINE = FIXED.row_bytes
"""Most bytes of one row."""
_TOO_MANY = "names an identifier after too many refused rows that did: correct those, retry in an hour"
_BATCH_ROWS = 500
_BATCH_BYTES = 1024 * 1024
_BREATHER = 0.01  # seconds of reading between two chances for other requests

Line = tuple[int, bytes | None]
"""The row's number, from 1, and its bytes; None when there were too many."""
Report = list[tuple[int, RegistrationOutcome]]
_Batch = list[tuple[int, Registration | RegistrationOutcome]]


@dataclass(frozen=True, slots=True)
class Import:
    """`scope` is the caller's company (None: the whole group); `country` that of phone numbers and addresses
    which name none. A dry run reports what would be done, and changes nothing.
    """

    company: str
    scope: str | None = None
    country: str | None = None
    dry_run: bool = False


class _DryRunError(Exception):
    """Rolls back a dry run."""

    def __init__(self, outcomes: list[RegistrationOutcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


async def import_rows(
    context: CustomersContext, given: Import, lines: AsyncIterator[Line]
) -> AsyncIterator[Report]:
    """Outcomes in order, a batch at a time, each batch committed before it is reported.

    What the database raises ends it; everything reported before then stands. Of a dry run each batch is rolled
    back by itself: nobody waits for the whole, and a customer who is in two batches is `created` in both.
    """
    async for batch in _ahead(_batches(context, given, lines)):
        began = time.monotonic()
        report = await _take_in(context, given, batch)
        took = time.monotonic() - began
        yield report
        await context.throttle.rest(took)


async def _batches(
    context: CustomersContext, given: Import, lines: AsyncIterator[Line]
) -> AsyncIterator[_Batch]:
    batch: _Batch = []
    size, breath = 0, time.monotonic()
    async for row, line in lines:
        batch.append((row, _read(context, given, line)))
        size += len(line or b"")
        if time.monotonic() - breath > _BREATHER:
            await asyncio.sleep(0)
            breath = time.monotonic()
        if len(batch) >= context.throttle.portion(_BATCH_ROWS) or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _ahead(batches: AsyncIterator[_Batch]) -> AsyncIterator[_Batch]:
    """Yield the same batches and read the next one while the database works on the last one."""

    async def following() -> _Batch | None:
        return await anext(batches, None)

    coming = asyncio.create_task(following())
    try:
        while (batch := await coming) is not None:
            coming = asyncio.create_task(following())
            yield batch
    finally:
        coming.cancel()


def _read(context: CustomersContext, given: Import, line: bytes | None) -> Registration | RegistrationOutcome:
    try:
        draft = _draft(context, given, _shape(line))
    except CustomerRefusedError as error:
        return RegistrationOutcome("refused", problems=error.problems)
    return Registration(draft, Speaker(given.company, importing=True), given.scope)


def _shape(line: bytes | None) -> rows.ImportRow:
    """Raises CustomerRefusedError."""
    if line is None:
        raise refused("row", f"must have at most {MAX_LINE} bytes")
    try:
        return rows.shape(line)
    except DuplicateNameError as twice:
        problems = [FieldRule(twice.field, "must be given only once in an object")]
    except NotJsonError as error:
        problems = [FieldRule("body", str(error))]
    except ValidationError as error:
        problems = problems_of(error)
    raise CustomerRefusedError(problems)


def _draft(context: CustomersContext, given: Import, row: rows.ImportRow) -> Draft:
    """Raises CustomerRefusedError."""
    by_identifier = bool(row.given.identity_code or row.given.business_id)
    if by_identifier and context.guesses.wait(given.company):
        raise refused("row", _TOO_MANY)
    today = context.moment().today
    try:
        return rows.read(row, given.company, given.scope, context.terms, today, country=given.country)
    except CustomerRefusedError:
        if by_identifier:
            context.guesses.refused(given.company)
        raise


async def _take_in(context: CustomersContext, given: Import, batch: _Batch) -> Report:
    entries = [e for _, e in batch if isinstance(e, Registration)]

    async def work(conn: Conn) -> list[RegistrationOutcome]:
        outcomes = await register(conn, context, entries)
        await unreadable.keep(conn, context.keys, given.company, _unreadable(entries, outcomes))
        if given.dry_run:
            raise _DryRunError(outcomes)
        return outcomes

    try:
        outcomes = await in_transaction(context, work) if entries else []
    except _DryRunError as done:
        outcomes = [replace(o, id=None) if o.status == "created" else o for o in done.outcomes]
    taken = iter(zip(entries, outcomes, strict=True))
    report = [(row, _warned(*next(taken)) if isinstance(e, Registration) else e) for row, e in batch]
    for (_, outcome), (_, entry) in zip(report, batch, strict=True):
        if not given.dry_run:
            IMPORTED_ROWS.labels(given.company, outcome.status).inc()
        if outcome.status == "refused" and isinstance(entry, Registration) and entry.by_identifier:
            context.guesses.refused(given.company)
    return report


def _unreadable(
    entries: Sequence[Registration], outcomes: Sequence[RegistrationOutcome]
) -> unreadable.Stated:
    """What each taken row says of its contact points; a row without any leaves what was kept."""
    return [
        (o.id, e.draft.unreadable)
        for e, o in zip(entries, outcomes, strict=True)
        if o.id is not None and "points" in e.draft.stated
    ]


def _warned(entry: Registration, outcome: RegistrationOutcome) -> RegistrationOutcome:
    if outcome.status == "refused" or not entry.draft.unreadable:
        return outcome
    return replace(outcome, warnings=tuple(FieldRule(u.field, u.rule) for u in entry.draft.unreadable))
