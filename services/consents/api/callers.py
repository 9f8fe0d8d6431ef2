"""Who may do what: `desk` records decisions; `desk`, `dpo`, `operator` read; `dpo`, `operator` see
who is late. A company's token sees its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import Depends

from kielto.service.auth import Caller, require
from kielto.service.idempotency import Claim, claimed
from kielto.service.problems import FieldError, Problem
from services.consents.model.check import DecisionError
from services.consents.use_cases.context import Context
from services.consents.use_cases.decide import Forbidden
from services.consents.use_cases.explain import UnknownCustomer
from services.consents.use_cases.locate import UnknownDecision

Desk = Annotated[Caller, Depends(require("desk"))]
Reader = Annotated[Caller, Depends(require("desk", "dpo", "operator"))]
Prover = Annotated[Caller, Depends(require("dpo", "operator"))]
Key = Annotated[Claim | None, Depends(claimed)]


def party(caller: Caller) -> str | None:
    return f"company.{caller.company}" if caller.company else None


def named(context: Context, caller: Caller, decision: UUID) -> str:
    """To whom it is shown decides: a company knows a decision by its own reference."""
    whose = party(caller)
    return context.keys.pairwise(whose, decision) if whose else str(decision)


def invalid(field: str, rule: str) -> Problem:
    return Problem(422, "invalid-request", "The request breaks a rule.", errors=[FieldError(field, rule)])


@contextmanager
def answered() -> Iterator[None]:
    """The use cases' refusals as problem details."""
    try:
        yield
    except DecisionError as error:
        raise invalid(error.field, error.rule) from None
    except Forbidden as error:
        raise Problem(403, "foreign-company", "The token does not reach this far.", error.rule) from None
    except UnknownCustomer:
        raise Problem(404, "unknown-customer", "There is no such customer.") from None
    except UnknownDecision:
        raise Problem(404, "unknown-decision", "There is no such decision.") from None
