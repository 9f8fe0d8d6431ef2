"""Who may do what, how callers name customers and decisions, and the cursors of listings.

`desk` records decisions; `desk`, `dpo`, `operator` read; `dpo`, `operator` see who is late. A company sees its own.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, Query

from kielto.events.base import Hash
from kielto.events.digests import InvalidContactPointError, digest_of
from kielto.events.words import PointKind
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from services.consents.api.problems import invalid
from services.consents.use_cases.context import Context, decision_id
from services.consents.use_cases.propagation.overdue import FIRST, After

Desk = Annotated[Caller, Depends(RoleCheck("desk"))]
Reader = Annotated[Caller, Depends(RoleCheck("desk", "dpo", "operator"))]
Prover = Annotated[Caller, Depends(RoleCheck("dpo", "operator"))]
Officer = Annotated[Caller, Depends(RoleCheck("dpo", group=True))]
"""A data protection officer of the group: no company may close a case against itself."""
Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


Ident = UUID | Hash
"""The id of a customer or a decision: our UUID for callers of the group, 64 hex digits of its own for a company."""


def customer_asked(context: Context, caller: Caller, given: Ident) -> UUID:
    """The customer whom the caller means. An id of another party becomes one that nobody has: it reads as unknown."""
    whose = caller.party
    if whose is None:
        return given if isinstance(given, UUID) else uuid4()
    return (context.keys.from_pairwise(whose, given) if isinstance(given, str) else None) or uuid4()


def decision_asked(context: Context, caller: Caller, given: Ident) -> UUID:
    """The decision's id. A company may also name one by the id that it gave it itself (`submit()`)."""
    whose = caller.party
    if whose is not None and isinstance(given, UUID):
        return decision_id(whose, given)
    return customer_asked(context, caller, given)


Limit = Annotated[int, Query(ge=1, le=1000, description="Entries in a page.")]
Behind = Annotated[str | None, Query(max_length=100, description="`next` of the previous page.")]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_behind(context: Context, tag: bytes, last: After) -> str:
    """The cursor behind `last`, encrypted: the caller need not know that id. `tag`: 8 bytes, of the listing."""
    at, ident = last
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    return context.keys.encrypt(micros.to_bytes(8, signed=True) + ident.bytes + tag)


def place_of(context: Context, tag: bytes, text: str | None) -> After:
    if text is None:
        return FIRST
    try:
        opened = context.keys.decrypt(text)
        if opened[24:] != tag:
            raise ValueError
    except ValueError:
        raise invalid("after", "must be the next of an earlier page") from None
    micros = int.from_bytes(opened[:8], signed=True)
    return _EPOCH + timedelta(microseconds=micros), UUID(bytes=opened[8:24])


def digest_given(field: str, kind: PointKind, value: str, country: str = "FI") -> bytes:
    """The digest of a customer number or an address. Raises ProblemError 422 when it is none."""
    try:
        return digest_of(kind, value, country)
    except InvalidContactPointError as error:
        raise invalid(field, str(error).partition(": ")[2]) from None
