"""A world goes through steps; whatever a company is answered is noted, with what its database was asked for it."""

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx

from kielto.events.control import BUCKETS
from kielto.events.digests import digest_of
from kielto.events.messages import (
    Acknowledgement,
    Decision,
    DecisionSubject,
    Position,
    Report,
    StoreDigest,
    StoreListing,
)
from kielto.events.topics import PARTITIONS, acks, audiences, decisions, permissions_of, reports
from kielto.events.words import PointKind
from kielto.service.database.pool import transaction
from services.consents.use_cases.propagation import reconcile
from tests.integration.isolation import people
from tests.integration.isolation.log import topic_id
from tests.integration.isolation.steps import ACTOR, GROUP, IsolationStep, Node, nodes
from tests.integration.isolation.world import COMPANIES, IsolationWorld, Seeded

_CHANNELS = {"email": "email", "sms": "phone", "phone": "phone"}


class Life(StrEnum):
    """What the actor names: people whom the others know, nobody, or it does nothing at all."""

    KNOWN = "known"
    STRANGERS = "strangers"
    SILENT = "silent"


class PartyAnswer(NamedTuple):
    """To a company: `step` is None for a probe; `about`: whom it may be about."""

    who: str
    asked: str
    status: int
    headers: dict[str, str]
    body: str
    statements: list[str]
    step: int | None
    about: frozenset[Node]


class IsolationPlay:
    def __init__(self, world: IsolationWorld, life: Life, seeded: Seeded) -> None:
        self.world, self.life, self._seeded = world, life, seeded
        self.answers: list[PartyAnswer] = []
        self.decisions: Mapping[str, list[str]] = defaultdict(list)
        self.campaigns: Mapping[str, list[str]] = defaultdict(list)
        self._asked: Mapping[str, list[UUID]] = defaultdict(list)
        self._step: int | None = None
        self.about: frozenset[Node] = frozenset()
        self.brought: dict[str, frozenset[Node]] = {}
        """By decision, as its company knows it, whom it is about."""
        self.foreign: Mapping[str, set[str]] = defaultdict(set)
        """By company, ids that are another's, or nobody's, as it named them: which of the two is what may differ."""
        self.numbers: dict[UUID, set[Node]] = defaultdict(set)
        """By customer the numbers that it ever had."""

    async def go(self, steps: list[IsolationStep]) -> None:
        for number, step in enumerate(steps):
            self._seeded.begin(number)
            self._step, self.about = number, nodes(step)
            if self.life is Life.SILENT and step.who == ACTOR:
                continue
            await getattr(self, f"_{step.do}")(step.who, step.args)
            await self._note_numbers()
            await self.world.settle()
            if number % 8 == 7:
                await self.world.late_work()
        self._step = None
        self._seeded.begin(len(steps))
        await self.world.late_work()

    async def _note_numbers(self) -> None:
        rows = await self.world.parts["customers"].pool.fetch(
            "SELECT customer, company, number FROM customerships"
        )
        for customer, company, number in rows:
            self.numbers[customer].add((company, number))

    async def ask(self, who: str, method: str, path: str, body: Any = None, **how: str) -> httpx.Response:
        answer, statements = await self.world.ask(who, method, path, body, **how)
        if who != GROUP:
            asked = f"{method} {path}"
            told = dict(answer.headers)
            self.answers.append(
                PartyAnswer(
                    who, asked, answer.status_code, told, answer.text, statements, self._step, self.about
                )
            )
        return answer

    # -- who is meant

    def _stranger(self, who: str) -> bool:
        return who == ACTOR and self.life is Life.STRANGERS

    def _person(self, who: str, person: int) -> int:
        return person + people.STRANGER if self._stranger(who) and person < people.SHARED else person

    def _fields(self, who: str, said: dict[str, Any]) -> dict[str, Any]:
        return people.fields(
            {
                k: self._person(who, v) if isinstance(v, int) and not isinstance(v, bool) else v
                for k, v in said.items()
            }
        )

    def _number(self, who: str, company: str, number: str) -> dict[str, str]:
        strange = self._stranger(who) and company != who
        return {"company": company, "number": f"9{number}" if strange else number}

    def _nobodys(self) -> str:
        return f"{Random(self._step).getrandbits(256):064x}"

    async def _theirs(self, who: str, company: str, number: str) -> str:
        """The id that `company` has of its customer, told to `who`; nobody's, if that is how `who` lives."""
        ident = None if self._stranger(who) else await self.customer(company, number)
        known = ident and self.world.keys.pairwise(f"company.{company}", ident)
        return self._foreign(who, known or self._nobodys())

    def _foreign(self, who: str, ident: str) -> str:
        self.foreign[who].add(ident)
        return ident

    async def customer(self, company: str, number: str) -> UUID | None:
        """Ours."""
        found, _ = await self.world.ask(GROUP, "GET", f"/customers?company={company}&number={number}")
        items = found.json()["items"]
        return UUID(items[0]["id"]) if items else None

    async def own(self, who: str, number: str) -> str | None:
        """The company's id of its customer, as it finds it."""
        found = await self.ask(who, "GET", f"/customers?company={who}&number={number}")
        items = found.json()["items"]
        return str(items[0]["id"]) if items else None

    # -- the register

    def _references(self, who: str, args: dict[str, Any]) -> dict[str, Any]:
        return {f: self._number(who, *args[f]) for f in ("organisation", "person") if f in args}

    async def _create(self, who: str, args: dict[str, Any]) -> None:
        body = self._fields(who, args["said"]) | self._references(who, args)
        body |= {"customerships": [{"company": who, "number": args["number"]}]}
        headers = {"Idempotency-Key": args["key"]} if args["key"] else {}
        await self.ask(who, "POST", "/customers", body, **headers)

    async def _import(self, who: str, args: dict[str, Any]) -> None:
        rows = [
            self._fields(who, row["said"])
            | {"number": row["number"]}
            | ({"same_as": self._number(who, *row["same_as"])} if "same_as" in row else {})
            for row in args["rows"]
        ]
        dry = "&dry_run=true" if args["dry_run"] else ""
        body = "\n".join(map(json.dumps, rows))
        headers = {"content-type": "application/x-ndjson"}
        await self.ask(who, "POST", f"/customers/imports?company={who}{dry}", body, **headers)

    async def _patch(self, who: str, args: dict[str, Any]) -> None:
        ident = await self.own(who, args["number"]) or self._nobodys()
        read = await self.ask(who, "GET", f"/customers/{ident}")
        tag = "*" if args["blind"] else read.headers.get("etag", '"1"')
        body = self._fields(who, args["said"]) | self._references(who, args)
        await self.ask(who, "PATCH", f"/customers/{ident}", body, **{"If-Match": tag})

    async def _end(self, who: str, args: dict[str, Any]) -> None:
        ident = await self.own(who, args["number"]) or self._nobodys()
        await self.ask(who, "POST", f"/customers/{ident}/customerships/{who}/end", {})

    async def _look(self, who: str, args: dict[str, Any]) -> None:
        ident = await self._theirs(who, *args["of"])
        decision = self._cited(who, ["theirs", args["of"][0], args["at"]])
        ways: list[tuple[str, str, Any]] = [
            ("GET", f"/customers/{ident}", None),
            ("PATCH", f"/customers/{ident}", {"language": "sv"}),
            ("POST", f"/customers/{ident}/customerships/{who}/end", {}),
            ("GET", f"/consents/customers/{ident}/permissions", None),
            ("GET", f"/consents/customers/{ident}/explanation", None),
            ("GET", f"/consents/decisions/{decision}", None),
            ("GET", f"/consents/decisions/{decision}/whereabouts", None),
            ("GET", f"/consents/decisions/{decision}/proof", None),
            ("POST", f"/customers/{ident}/merge", {"into": str(UUID(int=1))}),
        ]
        method, path, body = ways[args["at"]]
        await self.ask(who, method, path, body, **{"If-Match": "*"})

    # -- decisions

    def _cited(self, who: str, lift: list[Any]) -> str:
        """A reference, as its company knows it."""
        kind, whose, at = lift
        known = self.decisions[whose]
        if kind == "nobodys" or not known or (kind == "theirs" and self._stranger(who)):
            return self._foreign(who, self._nobodys())
        cited = known[at % len(known)]
        return cited if whose == who else self._foreign(who, cited)

    async def _decide(self, who: str, args: dict[str, Any]) -> None:
        kind, *of = args["subject"]
        if kind in ("email", "phone"):
            value = getattr(people, kind)(self._person(who, of[0]))
            subject: dict[str, Any] = {"kind": kind, "value": value}
        elif kind == "id":
            subject = {"customer": await self.own(who, of[1]) or self._nobodys()}
        elif kind == "foreign":
            subject = {"customer": await self._theirs(who, *of)}
        else:
            subject = self._number(who, *of)
        body = {k: v for k, v in args.items() if k not in ("subject", "lifts")} | {"subject": subject}
        if args["lifts"]:
            body["lifts"] = [self._cited(who, lift) for lift in args["lifts"]]
        answer = await self.ask(who, "POST", "/consents/decisions", body)
        if answer.status_code == 201:
            self.decisions[who].append(answer.json()["decision"])
            self.brought[answer.json()["decision"]] = self.about

    async def _send(self, who: str, args: dict[str, Any]) -> None:
        party, keys = f"company.{who}", self.world.keys
        kind, *of = args["subject"]
        if kind in ("email", "phone"):
            value = getattr(people, kind)(self._person(who, of[0]))
            subject = DecisionSubject(
                point=digest_of(PointKind(kind), value).hex(), point_kind=PointKind(kind)
            )
        elif kind == "id":
            ident = await self.customer(who, of[1])
            subject = DecisionSubject(id=keys.pairwise(party, ident) if ident else self._nobodys())
        elif kind == "foreign":
            subject = DecisionSubject(id=await self._theirs(who, *of))
        else:
            named = self._number(who, *of)
            digest = digest_of(PointKind.NUMBER, f"{named['company']}:{named['number']}")
            subject = DecisionSubject(number=digest.hex())
        said = Decision(
            id=uuid4(),
            subject=subject,
            act=args["act"],
            reach=args.get("reach"),
            partner=args.get("partner"),
            purposes=tuple(args.get("purposes", ())),
            channels=tuple(args.get("channels", ())),
            lifts=tuple(self._cited(who, lift) for lift in args["lifts"]),
            by=args.get("by", "person"),
            said_at=datetime.now(UTC),
        )
        self.world.log.write(decisions(party), subject.id or self._nobodys(), said, party)
        self.decisions[who].append(str(said.id))
        self.brought[str(said.id)] = self.about

    async def _garble(self, who: str, args: dict[str, Any]) -> None:
        ident = await self.customer(who, args["number"]) if args["number"] else None
        key = self.world.keys.pairwise(f"company.{who}", ident) if ident else self._nobodys()
        self.world.log.append(decisions(f"company.{who}"), key.encode(), b"no JSON", [])

    # -- sending

    async def _clear(self, who: str, args: dict[str, Any]) -> None:
        recipients = []
        for kind, number, person in args["recipients"]:
            one: dict[str, Any] = {}
            if kind == "id":
                one["customer"] = await self.own(who, number) or self._nobodys()
            if kind in ("number", "both"):
                one["number"] = number
            if kind in ("address", "both"):
                one["address"] = getattr(people, _CHANNELS[args["channel"]])(self._person(who, person))
            recipients.append(one)
        partners = {"purpose": "partner_marketing", "partner": "common", "mode": "we_send"}
        kind_of = partners if args["partners"] else {"purpose": "own_marketing", "product_group": "goods"}
        body = {"campaign": "spring", "channel": args["channel"], "recipients": recipients} | kind_of
        await self.ask(who, "POST", "/consents/clearances", body)
        about = {"campaign": "spring", "channel": args["channel"], "recipient": recipients[0]}
        about |= {"at": datetime.now(UTC).isoformat()}
        await self.ask(who, "POST", "/consents/clearances/search", about)

    async def _campaign(self, who: str, args: dict[str, Any]) -> None:
        body: dict[str, Any] = {"name": "spring", "channel": args["channel"], "purpose": "own_marketing"}
        if args["partner"]:
            partner, mode = args["partner"]
            body |= {"purpose": "partner_marketing", "partner": partner, "mode": mode}
        else:
            body["product_group"] = "goods"
        made = await self.ask(who, "POST", "/marketing/campaigns", body)
        ident = made.json()["id"]
        self.campaigns[who].append(ident)
        await self.ask(who, "POST", f"/marketing/campaigns/{ident}/launch")

    async def _report(self, who: str, args: dict[str, Any]) -> None:
        party = f"company.{who}"
        kind, *of = args["to"]
        if not self.campaigns[who]:
            return
        if kind == "addressed":
            told = sorted(r.key.decode() for r in self.world.log.of(audiences(party)) if r.key)
            subject = told[of[0] % len(told)] if told else self._nobodys()
        elif kind == "own":
            ident = await self.customer(who, of[0])
            subject = self.world.keys.pairwise(party, ident) if ident else self._nobodys()
        else:
            subject = await self._theirs(who, *of) if of else self._nobodys()
        report = Report(
            id=uuid4(),
            what=args["what"],
            campaign=UUID(self.campaigns[who][-1]),
            subject=subject,
            channel="email",
            at=datetime.now(UTC),
        )
        self.world.log.write(reports(party), subject, report, party)

    # -- subscribers

    def _positions(self, who: str, beyond: int = 0) -> tuple[Position, ...]:
        family = permissions_of(f"company.{who}")
        return tuple(
            Position(topic=t, topic_id=topic_id(t), partition=p, offset=self.world.log.end(t, p) + beyond)
            for t in (family.bulk, family.express or "")
            for p in range(PARTITIONS)
        )

    def _instance(self, who: str) -> dict[str, Any]:
        one = UUID(int=COMPANIES.index(who) + 1)
        return {"subscriber": f"{who}-crm", "instance": one, "generation": one}

    async def _ack(self, who: str, args: dict[str, Any]) -> None:
        ack = Acknowledgement(
            **self._instance(who),
            positions=self._positions(who, args["beyond"]),
            claimed_at=datetime.now(UTC),
        )
        self.world.log.write(acks(f"company.{who}"), f"{who}-crm", ack, f"company.{who}")

    async def _ask(self, _who: str, args: dict[str, Any]) -> None:
        (subscriber,) = self.world.context.group.subscribers_of(f"company.{args['party']}")
        async with transaction(self.world.parts["consents"].pool) as conn:
            self._asked[args["party"]].append(await reconcile.ask(conn, subscriber))

    async def _answer(self, who: str, args: dict[str, Any]) -> None:
        asked = self._asked[who][-1] if self._asked[who] else uuid4()
        common = self._instance(who) | {"ask": asked, "content": False, "positions": self._positions(who)}
        key = await self._theirs(who, *args["of"])
        if args["rows"]:
            bucket = int(key[:3], 16) >> 2
            event: StoreDigest | StoreListing = StoreListing(
                **common, bucket=bucket, rows=(f"{key} 1.9 {'0' * 16}",)
            )
        else:
            event = StoreDigest(**common, digests=f"{1:016x}" * BUCKETS)
        self.world.log.write(acks(f"company.{who}"), f"{who}-crm", event, f"company.{who}")

    # -- the group

    async def _merge(self, _who: str, args: dict[str, Any]) -> None:
        one, other = await self.customer(*args["of"]), await self.customer(*args["into"])
        if one and other:
            await self.ask(GROUP, "POST", f"/customers/{one}/merge", {"into": str(other)})

    async def _state(self, _who: str, args: dict[str, Any]) -> None:
        ident = await self.customer(*args["of"])
        if ident:
            body = self._fields(GROUP, args["said"]) | {"reason": "asked"}
            await self.ask(GROUP, "PATCH", f"/customers/{ident}", body, **{"If-Match": "*"})

    async def _erase(self, _who: str, args: dict[str, Any]) -> None:
        """Not by the actor's number somebody whom the group joined: then others are told, of whatever it does."""
        ident = await self.customer(*args["of"])
        if ident and (args["of"][0] != ACTOR or {c for c, _ in self.numbers[ident]} == {ACTOR}):
            with contextlib.redirect_stdout(io.StringIO()):
                await self.world.parts["customers"].service.commands["erase"]([str(ident)])

    async def _held(self, _who: str, args: dict[str, Any]) -> None:
        body = {"party": args["party"], "reason": "looked at"}
        await self.ask(GROUP, "POST", f"/consents/held/{args['mark']}", body)
