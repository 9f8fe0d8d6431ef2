"""Who may do what: `register` writes; `desk` and `operator` read. A caller with a company sees only its customers, and
names them by its own pairwise ids, which lead nowhere else; the group by theirs.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends

from kielto.events.digests import InvalidContactPointError, normalise
from kielto.events.party import Party
from kielto.events.words import PointKind
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import ProblemError
from kielto.service.support.crypto_keys import Keys
from kielto.validation import FieldRule
from services.customers.model import problems
from services.customers.use_cases.guesses import TooManyRefusedError
from services.customers.use_cases.read import NoSuchCustomerError
from services.customers.use_cases.update import CustomerExistsError, StaleRevisionError

Writer = Annotated[Caller, Depends(RoleCheck("register"))]
Reader = Annotated[Caller, Depends(RoleCheck("register", "desk", "operator"))]
Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


class CallerIds:
    """Ids as one caller gives and gets them."""

    def __init__(self, keys: Keys, caller: Caller) -> None:
        self._keys, self.company = keys, caller.company

    def give(self, ident: UUID) -> str:
        return str(ident) if self.company is None else self._keys.pairwise(Party.company(self.company), ident)

    def take(self, text: str) -> UUID:
        """The customer's id that the caller means; a company's id that is not its own is nobody's. Raises
        NoSuchCustomerError.
        """
        if self.company is not None:
            return self._keys.from_pairwise(Party.company(self.company), text) or uuid4()
        try:
            return UUID(text)
        except ValueError:
            raise NoSuchCustomerError from None


def canonical(company: str, number: str) -> str:
    """A customer number as digested. Raises CustomerRefusedError."""
    try:
        return normalise(PointKind.NUMBER, f"{company}:{number}")
    except InvalidContactPointError:
        raise problems.refused("number", "must be a customer number") from None


def invalid(found: Iterable[FieldRule]) -> ProblemError:
    return ProblemError(422, "invalid-request", "Invalid customer", errors=[*found])


@contextmanager
def answered() -> Iterator[None]:
    """Translate errors of the register to problem details."""
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
