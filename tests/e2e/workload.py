"""A seeded stream of decisions at random: bans, opt-outs, withdrawals, consents and liftings, by HTTP and by companies.

Pure: expands a seed to a list, so that a failing run can be repeated.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

COMPANIES = ("kauppa", "liittyma", "sahko")
PARTNER = "matkat"
CHANNELS = ("email", "sms", "phone", "post")
PURPOSES = ("own_marketing", "partner_marketing")


@dataclass(frozen=True, slots=True)
class WorkloadStep:
    """One decision. `via` is `http` or a company's id (its decisions topic). `lifts` are indices of earlier steps."""

    ident: UUID
    via: str
    customer: int
    subject: str
    body: dict[str, Any]
    lifts: tuple[int, ...] = field(default=())


def at(customer: int, via: str, body: dict[str, Any]) -> WorkloadStep:
    """One chosen decision about a customer."""
    return WorkloadStep(uuid4(), via, customer, "customer", {"by": "person", "route": "self_service", **body})


def steps(seed: int, count: int, customers: int) -> Iterator[WorkloadStep]:
    """`customers` is how many there are; a step's `customer` is an index below it; `subject` is what names them:
    customer, number or point."""
    rng = random.Random(seed)
    restrictions: dict[int, list[int]] = {}
    for index in range(count):
        customer = rng.randrange(customers)
        known = restrictions.setdefault(customer, [])
        act = rng.choices(("ban", "opt_out", "withdrawal", "consent", "lifting"), (30, 25, 10, 15, 20))[0]
        if act == "lifting" and not known:
            act = "ban"
        via = rng.choices(("http", *COMPANIES), (70, 10, 10, 10))[0]
        lifts: tuple[int, ...] = ()
        if act in ("consent", "lifting") and known:
            lifts = tuple(rng.sample(known, min(len(known), rng.randint(1, 4))))
        if act not in ("consent", "lifting"):
            known.append(index)
        subject = rng.choices(("customer", "number", "point"), (75, 15, 10))[0]
        if act in ("consent", "lifting"):
            subject = "customer"
        yield WorkloadStep(
            ident=UUID(int=rng.getrandbits(128), version=4),
            via=via,
            customer=customer,
            subject=subject,
            body=_body(rng, act, via),
            lifts=lifts,
        )


def _body(rng: random.Random, act: str, via: str) -> dict[str, Any]:
    body: dict[str, Any] = {"act": act, "by": "person", "route": "self_service"}
    company = rng.choice(COMPANIES) if via == "http" else via
    channels = sorted(rng.sample(CHANNELS, rng.randint(1, 2)))
    match act:
        case "ban" if rng.random() < 0.5:
            pass  # a bare ban: everything, the whole group, all partners
        case "ban" | "withdrawal":
            body |= {
                "reach": "company",
                "company": company,
                "channels": channels,
                "purposes": ["own_marketing"],
            }
        case "opt_out":
            partner = rng.random() < 0.5
            body |= {"reach": "partner", "partner": PARTNER} if partner else {"reach": "partners"}
            body |= {"purposes": ["partner_marketing"]}
        case "consent":
            body |= {
                "reach": "company",
                "company": company,
                "channels": channels,
                "purposes": ["own_marketing"],
            }
        case "lifting":
            body |= {"reach": "group", "purposes": list(PURPOSES), "channels": list(CHANNELS)}
    if via != "http":
        body.pop("company", None)
    return body
