"""Everything that a company can see of a world, and what may differ between two worlds."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

from kielto.acls import SERVICES
from kielto.events.topics import audiences, customers_of, permissions_of, results
from kielto.events.versions import Version
from tests.integration.isolation import people
from tests.integration.isolation.log import LogRecord
from tests.integration.isolation.play import IsolationPlay
from tests.integration.isolation.steps import ACTOR, EVERYONE, JOINED, NUMBERED, OTHERS, Node, person
from tests.integration.isolation.world import IsolationWorld

PARTNER = "partner.own"
"""Of beta alone."""
NUMBERS = (*NUMBERED, JOINED)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_REAL = re.compile(r"(?<=[:\[,])-?\d+\.\d+(e-?\d+)?")
_ID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_COMPARED = ("traceparent", "ce_time")


def plain(text: str) -> str:
    """Without times, and without numbers of seconds."""
    return _REAL.sub("R", _TIME.sub("T", text))


async def probe(play: IsolationPlay, who: str) -> None:
    """A fixed list of questions about the company's own, and about what is not."""
    own = {n: await play.own(who, n) for n in NUMBERS}
    known = {ident: n for n, ident in own.items() if ident}
    other = next(c for c in (ACTOR, *OTHERS) if c != who)
    gets: list[tuple[str, Iterable[Node]]] = [(path, ()) for path in _PATHS]
    gets += [(f"/customers?company={other}&number=1", ())]
    for ident, number in known.items():
        gets += [(f"/customers/{ident}{part}", ()) for part in ("", "/unreadable")]
        gets += [
            (f"/consents/customers/{ident}/{part}", [(who, number)])
            for part in ("permissions", "explanation")
        ]
    for ident in play.decisions[who]:
        gets += [(f"/consents/decisions/{ident}{part}", play.brought[ident]) for part in ("", "/whereabouts")]
    gets += [(f"/consents/subscribers/{name}-crm", [EVERYONE]) for name in (who, other)]
    gets += [(f"/consents/{part}", [EVERYONE]) for part in _OF_CONSENTS]
    for ident in play.campaigns[who]:
        gets += [(f"/marketing/campaigns/{ident}{part}", [EVERYONE]) for part in ("", "/recipients")]
    gets += [(f"/marketing/campaigns/{ident}", [EVERYONE]) for ident in play.campaigns[other]]
    gets += [(f"/{service}/audit?limit=1000", [EVERYONE]) for service in SERVICES]
    for path, about in gets:
        play.about = frozenset(about)
        await play.ask(who, "GET", path)
    play.about = frozenset()
    for service, path in product(SERVICES, ("/metrics", "/livez", "/readyz")):
        await play.ask(who, "GET", path, service=service)
    for channel in ("email", "phone", "post"):
        recipients: list[tuple[dict[str, str], Node]] = [({"number": n}, (who, n)) for n in NUMBERS]
        if channel != "post":
            made = getattr(people, channel)
            recipients += [({"address": made(p)}, person(p)) for p in range(people.SHARED)]
        for one, of in recipients:
            play.about = frozenset((of,))
            body: dict[str, Any] = {"campaign": "probe", "channel": channel, "recipients": [one]}
            body |= {"purpose": "own_marketing", "product_group": "goods"}
            await play.ask(who, "POST", "/consents/clearances", body)


_PATHS = [
    *(f"/{service}/{path}" for service in SERVICES for path in ("nothing", "quarantine")),
    *("/customers/candidates", "/consents/held", "/consents/shared-addresses"),
]
_OF_CONSENTS = (
    "results",
    "results?limit=1",
    "subscribers",
    "reconciliation",
    "breaches",
    "proof/overdue",
    "proof/propagation",
    "proof-keys",
    "audit?limit=1",
)


class ShownText(NamedTuple):
    """One thing that a company sees: what it is, and how it looks. `about`: whom it may be about; nobody: it must never
    differ.
    """

    what: str
    look: Any
    about: frozenset[Node]


def answers(play: IsolationPlay, who: str) -> Iterator[ShownText]:
    for answer in (a for a in play.answers if a.who == who):
        headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
        look = {
            "status": answer.status,
            "headers": headers,
            "body": plain(_without(play.foreign[who], answer.body)),
            "statements": answer.statements,
        }
        at = "probe" if answer.step is None else f"step {answer.step}"
        never = answer.asked.partition(" ")[2].startswith("/customers")
        what = f"{at}: {_without(play.foreign[who], answer.asked)}"
        yield ShownText(what, look, frozenset() if never else answer.about)


def _without(foreign: set[str], text: str) -> str:
    return _ID.sub(lambda found: "theirs" if found[0] in foreign else found[0], text)


def stream(play: IsolationPlay, who: str) -> Iterator[ShownText]:
    watcher, keys, party = play.world.watchers[who], play.world.keys, f"company.{who}"
    while not watcher._queue.empty():
        told = watcher._queue.get_nowait()
        assert told is not None
        decision = keys.pairwise(party, told.decision)
        yield ShownText("live", (told.state, decision, told.subscriber), frozenset((EVERYONE,)))


def topics_of(party: str) -> list[str]:
    pair = permissions_of(party)
    own = [pair.bulk, pair.express or "", audiences(party), results(party)]
    return own + ([customers_of(party).bulk] if party.startswith("company.") else [])


def records(play: IsolationPlay, party: str) -> Iterator[ShownText]:
    world = play.world
    company = party.partition(".")[2]
    named = {world.keys.pairwise(party, ident): numbers for ident, numbers in play.numbers.items()}
    for topic in topics_of(party):
        for record in world.log.of(topic):
            key = (record.key or b"").decode()
            numbers = {node for node in named.get(key, ()) if node[0] == company or party == PARTNER}
            about = frozenset(numbers or {EVERYONE})
            if topic.endswith(".customers.v1"):
                about = frozenset()
            look = (key, _headers(record), plain((record.value or b"").decode()))
            yield ShownText(f"{topic} {record.partition}", look, about)


def _headers(record: LogRecord) -> list[tuple[str, str]]:
    state = any(name == "ce_kieltoversion" for name, _ in record.headers)
    return [
        (name, "…" if name in _NOT_COMPARED or (name == "ce_id" and not state) else value.decode())
        for name, value in record.headers
    ]


def everything(play: IsolationPlay) -> dict[str, list[ShownText]]:
    """By who sees it."""
    seen = {who: [*answers(play, who), *stream(play, who)] for who in OTHERS}
    for who in OTHERS:
        seen[who] += records(play, f"company.{who}")
    return seen | {PARTNER: [*records(play, PARTNER)]}


def asked_of_actor(play: IsolationPlay) -> list[ShownText]:
    """How the actor was answered, but for what it names itself: status, form, and what the database was asked."""
    return [
        one._replace(look={"status": one.look["status"], "statements": one.look["statements"]})
        for one in answers(play, ACTOR)
    ]


Permit = tuple[str, str, str, str]
"""Key, point, channel, and what is allowed there."""


def permitted(world: IsolationWorld, party: str) -> set[Permit]:
    """By the newest record of each key, as a follower holds it."""
    newest: dict[str, dict[str, Any]] = {}
    for topic in topics_of(party)[:2]:
        for record in world.log.of(topic):
            body = json.loads(record.value or b"{}")
            if "version" not in body:
                continue
            key = (record.key or b"").decode()
            if key not in newest or _version(newest[key]) < _version(body):
                newest[key] = body
    return {
        (key, at["point"], at["channel"], one)
        for key, body in newest.items()
        for at in body.get("points", ())
        for one in _allowed(at["allow"])
    }


def _version(body: dict[str, Any]) -> Version:
    return Version.parse(body["version"])


def _allowed(allow: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Each product group by itself, so that fewer groups are less."""
    for one in allow:
        groups = one.pop("product_groups", None)
        for group in ("goods", "power") if groups is None else groups:
            yield json.dumps(one | {"group": group}, sort_keys=True)
