"""The problem details by which the routes answer errors of the use cases."""

from collections.abc import Iterator
from contextlib import contextmanager

from kielto.service.http.problem import ProblemError, invalid_request, unavailable
from kielto.service.support.crypto_keys import KeysError
from kielto.validation import FieldRule
from services.consents.model.check import DecisionError
from services.consents.use_cases.breaches import UnknownBreachError
from services.consents.use_cases.clearances.clear import (
    NotPrimaryError,
    OverdueSubscriberError,
    UnreadableDecisionError,
)
from services.consents.use_cases.context import (
    UnknownCustomerError,
    UnknownDecisionError,
    UnknownSubscriberError,
)
from services.consents.use_cases.decision_log.prove import (
    LogAlteredError,
    NoSuchHeadError,
    NotSealedError,
    ProofErasedError,
)
from services.consents.use_cases.decisions.command import ForbiddenError, NotKnownYetError

# Status, slug, title, and the detail if there is one.
PROBLEMS: dict[type[Exception], tuple[int, str, str] | tuple[int, str, str, str]] = {
    UnknownCustomerError: (404, "unknown-customer", "There is no such customer"),
    UnknownDecisionError: (404, "unknown-decision", "There is no such decision"),
    UnknownSubscriberError: (404, "unknown-subscriber", "There is no such subscriber"),
    UnknownBreachError: (404, "unknown-breach", "There is no such breach"),
    OverdueSubscriberError: (
        409,
        "subscriber-overdue",
        "A subscriber of the company has not applied decisions by its deadline",
    ),
    UnreadableDecisionError: (
        409,
        "unreadable-decision",
        "A message that may be a ban cannot be read",
        (
            "It is on the decisions topic of the company or of the partner. Nothing is cleared until it is replayed or "
            "discarded (GET /consents/quarantine)."
        ),
    ),
    ProofErasedError: (410, "erased", "The data that would prove the decision was erased"),
    LogAlteredError: (
        409,
        "seal-broken",
        "The decision or the log differs from what was signed",
        "An operator has to run `seals verify` (see the runbook).",
    ),
    NoSuchHeadError: (
        404,
        "no-such-head",
        "The log has fewer decisions than `since`",
        "It may have been restored from a backup.",
    ),
    KeysError: (503, "no-seal-key", "The keys file has no seal_key"),
}


def invalid(field: str, rule: str) -> ProblemError:
    return invalid_request(FieldRule(field, rule))


@contextmanager
def answered(seal_seconds: float = 1) -> Iterator[None]:
    """Translate errors of the use cases. `seal_seconds`: how soon a decision that is not sealed yet may be."""
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
    except NotSealedError:
        again = {"Retry-After": str(max(1, round(seal_seconds)))}
        title = "The decision is not in a signed batch yet; retry later"
        raise ProblemError(409, "not-sealed", title, headers=again) from None
    except NotPrimaryError:
        raise unavailable("not-primary", "This database is a standby; retry later") from None
    except tuple(PROBLEMS) as error:
        found = next(problem for kind, problem in PROBLEMS.items() if isinstance(error, kind))
        raise ProblemError(*found) from None
