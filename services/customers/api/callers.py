"""Who may do what: `register` writes; `desk` and `operator` read. A caller with a company sees only its
customers.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends

from kielto.service.http.auth import Caller, require
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import FieldError, ProblemError
from services.customers.model import problems
from services.customers.model.draft import Speaker
from services.customers.use_cases.customers.create import CustomerExistsError
from services.customers.use_cases.customers.read import NoSuchCustomerError
from services.customers.use_cases.customers.update import StaleRevisionError
from services.customers.use_cases.links.guesses import TooManyRefusedError

Writer = Annotated[Caller, Depends(require("register"))]
Reader = Annotated[Caller, Depends(require("register", "desk", "operator"))]
Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


def speaker(caller: Caller) -> Speaker:
    return Speaker(caller.company)


def invalid(found: Iterable[problems.BrokenRule]) -> ProblemError:
    errors = [FieldError(p.field, p.rule) for p in found]
    return ProblemError(422, "invalid-request", "Invalid customer", errors=errors)


@contextmanager
def answered() -> Iterator[None]:
    """The register's refusals as problem details."""
    try:
        yield
    except problems.CustomerRefusedError as refused:
        raise invalid(refused.problems) from None
    except NoSuchCustomerError:
        raise ProblemError(404, "unknown-customer", "There is no such customer") from None
    except CustomerExistsError:
        raise ProblemError(
            409, "customer-exists", "The customer number is taken: change that customer instead"
        ) from None
    except TooManyRefusedError as error:
        raise ProblemError(
            429,
            "too-many-refused-identifiers",
            "Too many refused rows with identity codes or business ids: correct them and retry later",
            headers={"Retry-After": str(error.retry_after)},
        ) from None
    except StaleRevisionError:
        raise ProblemError(
            412, "stale", "The customer was changed since you read it: read it again"
        ) from None
