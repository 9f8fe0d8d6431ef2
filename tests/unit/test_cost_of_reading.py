"""Whoever may send anything must not stop the event loop by what it looks like: reading costs as much as it is long."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kielto.events.messages import Acknowledgement, Decision, StoreListing
from kielto.service.http.if_match import revisions
from kielto.strict_json import MOST_NAMES, DuplicateNameError, NotJsonError, loads
from services.consents.api.clearances.bodies import GivenClearance
from services.consents.api.decisions.bodies import GivenDecision
from services.customers.model.given import CustomerPatch, GivenCustomer
from services.customers.model.rows import shape

SECONDS = 2.0

"""Each of these took minutes, or tens of seconds; now hundredths of one."""
MANY = 20_000


def takes(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def test_a_name_given_twice_among_many() -> None:
    names = ",".join(f'"k{n}":0' for n in range(100_000))

    def read() -> None:
        with pytest.raises(DuplicateNameError) as caught:
            loads(f'{{{names},"end":1,"end":2}}')
        assert caught.value.field == "end"

    assert takes(read) < SECONDS


def test_an_object_has_no_more_names_than_any_of_ours() -> None:
    assert loads(json.dumps({f"k{n}": n for n in range(MOST_NAMES)}))
    with pytest.raises(NotJsonError) as caught:
        loads(json.dumps({"a": [{f"k{n}": n for n in range(MOST_NAMES + 1)}]}))
    assert str(caught.value) == "must have at most 50 names in an object"


@pytest.mark.parametrize(
    "header",
    [
        "\xa0" * 15_000 + "x",
        '"a"' + "\xa0" * 15_000 + "x",
        '"1", ' * 3000 + "x",
        ", " * 7500,
        '"a",' + " " * 15_000,
    ],
    ids=["blanks", "a tag and blanks", "tags", "commas", "a tag and no more"],
)
def test_a_header_of_the_longest_that_is_taken(header: str) -> None:
    assert takes(lambda: revisions(header)) < SECONDS


CLEARANCE = {"campaign": "a", "purpose": "own_marketing", "channel": "email"}


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (GivenCustomer, {"points": [{}] * MANY}),
        (GivenCustomer, {"points": [{"kind": "email", "sales": [{}] * MANY}]}),
        (GivenCustomer, {"customerships": [1] * MANY}),
        (CustomerPatch, {"duties": [{}] * MANY}),
        (GivenDecision, {"channels": ["fax"] * MANY}),
        (GivenClearance, CLEARANCE | {"recipients": [{str(n): 0 for n in range(MOST_NAMES)}] * 10_000}),
        (Decision, {"channels": ["fax"] * MANY}),
        (Decision, {"lifts": [1] * MANY}),
        (Acknowledgement, {"positions": [{}] * MANY}),
        (StoreListing, {"rows": [1] * MANY}),
    ],
)
def test_a_list_that_is_too_long_is_not_looked_at(model: type[BaseModel], given: dict[str, Any]) -> None:
    """What is wrong with each item would be an error to be told of."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    assert caught.value.error_count() <= MOST_NAMES + 10


def test_a_row_of_the_longest() -> None:
    row = json.dumps({"number": "1", "points": [{"kind": "email", "sales": [{}] * 15_000}]}).encode()
    assert len(row) < 65_536
    with pytest.raises(ValidationError) as caught:
        shape(row)
    assert [error["type"] for error in caught.value.errors()] == ["too_long"]
