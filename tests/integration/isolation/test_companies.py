"""Whatever one company does, no other sees anything of it that its own customers' records do not say, and nothing is
loosened there. Held over all three services with generated registers and acts.

The same acts are lived through three times (`Life`): the actor names people whom the others know; it names people of
whom nobody has heard; it does nothing. Between the first two lives nothing may differ that the others see: their
answers with headers, errors and statements to the database, their topics with keys and headers, their live stream,
campaigns, results, clearances and audit trail. Against the second and the third nothing may be permitted in the first
that is not permitted there.

What may travel, and nothing else, is in `steps.reached`: a *no* that the actor brings for more than itself, and a
message of its topic that cannot be read and may be one, bind whoever may be the same person, and whoever has the
address. Of those people what is permitted may then be less; what the register says of them may not differ even then.
Deaths, safety bans and ends travel by one record that the group joined: in both lives alike.

`KIELTO_ISOLATION=600` goes on with new seeds for so many seconds, and plants more bugs; `KIELTO_ISOLATION_SEED=17`
plays one seed again.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from deploy.local.servers.stack import Stack
from kielto.service.outbox import publish as outbox
from services.consents.use_cases.clearances import clear
from services.customers.model import entitlement
from services.customers.store import reading
from tests.conftest import Migrated
from tests.integration.isolation.compare import compare
from tests.integration.isolation.play import Life
from tests.integration.isolation.steps import ACTOR, Drawn, IsolationStep, beginning
from tests.integration.isolation.world import DatabaseCopies

STEPS = 20


@pytest.fixture
async def copies(stack: Stack, migrated: Migrated, templates: Mapping[Path | None, str]) -> DatabaseCopies:
    return await DatabaseCopies.of(stack, migrated, templates)


def seeds() -> Iterator[int]:
    """Odd ones are loud: the actor brings *no*s that travel."""
    if seed := os.environ.get("KIELTO_ISOLATION_SEED"):
        yield int(seed)
        return
    until = time.monotonic() + float(os.environ.get("KIELTO_ISOLATION", "0"))
    yield from (22, 31)
    while time.monotonic() < until:
        yield SystemRandom().randrange(10**6)


@pytest.mark.timeout(7200)
async def test_no_company_sees_or_loses_anything_by_another(copies: DatabaseCopies) -> None:
    began, played = time.monotonic(), 0
    for seed in seeds():
        found = await compare(copies, Drawn(seed, loud=bool(seed % 2)).steps(STEPS), seed)
        played += 1
        assert not found, f"KIELTO_ISOLATION_SEED={seed} ({played} played)\n" + "\n".join(found)
    print(f"{played} seeds in {time.monotonic() - began:.0f} s")


# -- planted: the test sees each of these


def another_companys_value(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks is shown what anybody states."""
    told = entitlement._told
    patch.setattr(entitlement, "_told", lambda customer, _scope: told(customer, None))


def a_match_across_companies(patch: pytest.MonkeyPatch) -> None:
    """An identity code finds the customer of whoever stated it."""

    async def by_identifier(conn: Any, wanted: Any) -> Any:
        rows = await conn.fetch(
            "SELECT blind, customer FROM identifiers WHERE blind = ANY ($1)", [blind for blind, _ in wanted]
        )
        known = {row["blind"]: row["customer"] for row in rows}
        return {(blind, source): known[blind] for blind, source in wanted if blind in known}

    patch.setattr(reading, "by_identifier", by_identifier)


def a_shared_counter(patch: pytest.MonkeyPatch) -> None:
    """A customer has one revision for everybody."""

    def revisions(_old: Any, new: Any, before: dict[str, int]) -> dict[str, int]:
        after = max(before.values(), default=0) + 1
        return dict.fromkeys(("group", *new.companies), after)

    patch.setattr(entitlement, "revisions", revisions)


def an_address_of_others(patch: pytest.MonkeyPatch) -> None:
    """A clearance asks everybody at the company of whom anybody states the address."""
    patch.setattr(clear._ClearanceCheck, "_has", lambda *_: True)


def a_statement_more(patch: pytest.MonkeyPatch) -> None:
    """The database is asked once more when a record of somebody else stays as it is."""
    publish = outbox.publish

    async def ask(conn: Any, changes: Any, *, before: Any = None, **given: Any) -> Any:
        return await publish(conn, changes, **given)

    patch.setattr(outbox, "publish", ask)


def _joined(**said: Any) -> IsolationStep:
    return IsolationStep(ACTOR, "patch", {"number": "J", "said": said, "blind": True})


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], list[IsolationStep], Life]] = [
    (another_companys_value, [_joined(name=0)], Life.STRANGERS),
    (a_shared_counter, [_joined(name=0)], Life.SILENT),
    (a_match_across_companies, [], Life.STRANGERS),
    (an_address_of_others, [_joined(email=0)], Life.STRANGERS),
    (a_statement_more, [], Life.STRANGERS),
]


@pytest.mark.parametrize(
    ("plant", "steps", "other"), PLANTED[: None if "KIELTO_ISOLATION" in os.environ else 2]
)
async def test_what_is_planted_is_seen(
    copies: DatabaseCopies,
    plant: Callable[[pytest.MonkeyPatch], None],
    steps: list[IsolationStep],
    other: Life,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        found = await compare(copies, [*beginning(), *steps], 0, lives=(Life.KNOWN, other))
    print(plant.__name__, found[:2])
    assert found, plant.__doc__
