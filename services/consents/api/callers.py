"""Who may do what, and how callers name customers and decisions.

`desk` records decisions; `desk`, `dpo` and `operator` read; `dpo` and `operator` see who is late. A company's token
sees its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends

from kielto.events.base import Hash
from kielto.service.http.auth import Caller, require
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import ProblemError, invalid_request
from kielto.validation import FieldRule
from services.consents.model.check import DecisionError
from services.consents.use_cases.context import (
    Context,
    UnknownCustomerError,
    UnknownDecisionError,
    decision_id,
)
from services.consents.use_cases.decisions.command import ForbiddenError, NotKnownYetError

Desk = Annotated[Caller, Depends(require("desk"))]
Reader = Annotated[Caller, Depends(require("desk", "dpo", "operator"))]
Prover = Annotated[Caller, Depends(require("dpo", "operator"))]
Officer = Annotated[Caller, Depends(require("dpo", group=True))]
"""A data protection officer of the group: no company may close a case against itself."""
Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


Ident = UUID | Hash
"""The id of a customer or a decision: our UUID for callers of the group, 64 hex digits of its own for a company."""


def named(context: Context, caller: Caller, ident: UUID) -> str:
    """The id by which the caller knows a customer, a stored address or a decision."""
    whose = caller.party
    return context.keys.pairwise(whose, ident) if whose else str(ident)


def customer_asked(context: Context, caller: Caller, given: Ident) -> UUID:
    """The customer whom the caller means. An id of another party becomes an id that nobody has, so that it reads as
    unknown.
    """
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


def invalid(field: str, rule: str) -> ProblemError:
    return invalid_request(FieldRule(field, rule))


@contextmanager
def answered() -> Iterator[None]:
    """Translate errors of the use cases to problem details."""
    try:
        yield
    except NotKnownYetError as error:
        raise ProblemError(
            409,
            "subject-not-known-yet",
            "A consent or a lifting must be about a known customer",
            "A customer who was just created becomes known within seconds: retry. Otherwise check the id.",
            errors=[FieldRule(error.field, error.rule)],
            headers={"Retry-After": "1"},
        ) from None
    except DecisionError as error:
        raise invalid(error.field, error.rule) from None
    except ForbiddenError as error:
        raise ProblemError(403, "foreign-company", "The token is for another company", error.rule) from None
    except UnknownCustomerError:
        raise ProblemError(404, "unknown-customer", "There is no such customer") from None
    except UnknownDecisionError:
        raise ProblemError(404, "unknown-decision", "There is no such decision") from None
