"""Who may do what: `register` writes; `desk` and `operator` read. A caller with a company sees only its
customers.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends

from kielto.service.http.auth import Caller, require
from kielto.service.http.idempotency import Claim, claimed
from kielto.service.http.problem import FieldError, Problem
from services.customers.model import problems
from services.customers.model.draft import Speaker
from services.customers.use_cases.customers.create import Exists
from services.customers.use_cases.customers.read import Unknown
from services.customers.use_cases.customers.update import Stale
from services.customers.use_cases.links.guesses import TooMany

Writer = Annotated[Caller, Depends(require("register"))]
Reader = Annotated[Caller, Depends(require("register", "desk", "operator"))]
Key = Annotated[Claim | None, Depends(claimed)]


def speaker(caller: Caller) -> Speaker:
    return Speaker(caller.company)


def invalid(found: Iterable[problems.Problem]) -> Problem:
    errors = [FieldError(p.field, p.rule) for p in found]
    return Problem(422, "invalid-request", "The customer cannot be as given", errors=errors)


@contextmanager
def answered() -> Iterator[None]:
    """The register's refusals as problem details."""
    try:
        yield
    except problems.Refused as refused:
        raise invalid(refused.problems) from None
    except Unknown:
        raise Problem(404, "unknown-customer", "There is no such customer") from None
    except Exists:
        raise Problem(409, "customer-exists", "The customer number is taken; change that customer") from None
    except TooMany as error:
        raise Problem(
            429,
            "too-many-refused-identifiers",
            "Too many refused rows with identity codes or business ids; correct them and retry later",
            headers={"Retry-After": str(error.retry_after)},
        ) from None
    except Stale:
        raise Problem(412, "stale", "The customer was changed meanwhile; read it again") from None
