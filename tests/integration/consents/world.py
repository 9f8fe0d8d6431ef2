"""People and what is said by and about them, taken in as the service does, and what is published then."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from kielto.events.digests import digest_of
from kielto.events.records import Customer, CustomerPoint, CustomershipOf
from kielto.events.versions import Version
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach, Recipient, Status
from kielto.service.database.pool import Conn, transaction
from services.consents import projections
from services.consents.model.facts import Disclosure
from services.consents.model.ref import NamedSubject, Ref
from services.consents.store.clearances import ClearancePart
from services.consents.store.permissions import state
from services.consents.store.permissions.locks import SubjectsMovedError
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.decisions.command import Command
from services.consents.use_cases.decisions.receipt import DecisionOutcome
from services.consents.use_cases.permissions.apply_facts import (
    deny_customer,
    take_in_customers,
    take_in_disclosures,
)
from services.consents.use_cases.permissions.evaluate_people import evaluate_people
from services.consents.use_cases.permissions.publish_records import republish


@dataclass
class Someone:
    """A customer with a phone number, an e-mail address and a postal one."""

    companies: tuple[str, ...] = ("kauppa",)
    id: UUID = field(default_factory=uuid4)
    phone: str = ""
    email: str = ""
    post: UUID = field(default_factory=uuid4)
    phone_id: UUID = field(default_factory=uuid4)
    email_id: UUID = field(default_factory=uuid4)
    n: int = 0

    def __post_init__(self) -> None:
        digits = self.id.int % 10**7
        self.phone = self.phone or f"+35840{digits:07}"
        self.email = self.email or f"p{self.id.hex}@example.com"

    def number(self, company: str) -> str:
        return f"{company}:{self.id.hex[:12]}"


class ConsentsWorld:
    def __init__(self, context: Context) -> None:
        self.pool, self.context, self.keys = context.pool, context, context.keys

    def record(self, who: Someone, **changes: Any) -> Customer:
        """The person's next record. `active`: the customerships that go on."""
        who.n += 1
        active = changes.pop("active", who.companies)
        given: dict[str, Any] = {
            "version": f"1.{who.n}",
            "subject": who.id,
            "recipient": Recipient.NATURAL,
            "points": (
                CustomerPoint(
                    id=who.phone_id,
                    kind_of=PointKind.PHONE,
                    digest=self.encrypted(PointKind.PHONE, who.phone),
                ),
                CustomerPoint(
                    id=who.email_id,
                    kind_of=PointKind.EMAIL,
                    digest=self.encrypted(PointKind.EMAIL, who.email),
                ),
                CustomerPoint(id=who.post, kind_of=PointKind.POST),
            ),
            "customerships": tuple(
                CustomershipOf(
                    company=c, digest=self.encrypted(PointKind.NUMBER, who.number(c)), active=c in active
                )
                for c in who.companies
            ),
        }
        return Customer(**(given | changes))

    def encrypted(self, kind: PointKind, value: str) -> str:
        return self.keys.encrypt(digest_of(kind, value))

    async def know(self, *people: Someone, **changes: Any) -> None:
        """Take in a record of each, as the consumers do."""
        await self.take_in([self.record(who, **changes) for who in people])

    async def take_in(self, records: list[Customer]) -> None:
        rows = projections.newest(records, self.keys)

        async def work(conn: Conn) -> None:
            await take_in_customers(conn, self.context, rows)

        await self._again(work)

    async def deny(self, who: Someone, n: int) -> None:
        async with transaction(self.pool) as conn:
            await deny_customer(conn, self.context, who.id, Version(1, n))

    async def disclose(self, who: Someone, partner: str = "matkat", company: str = "kauppa") -> None:
        party = f"partner.{partner}"
        ref = Ref.of_party(party, self.keys.pairwise(party, who.id))
        row = Disclosure(who.id, partner, company, datetime.now(UTC), ref)

        async def work(conn: Conn) -> None:
            await take_in_disclosures(conn, self.context, [row])

        await self._again(work)

    async def decide(self, subject: NamedSubject, act: Act = Act.BAN, **given: Any) -> DecisionOutcome:
        """Raises AssertionError when the id is known."""
        found: list[DecisionOutcome] = []

        async def work(conn: Conn) -> None:
            outcome = await deciding.decide(conn, self.context, self.command(subject, act, **given))
            assert outcome is not None
            found.append(outcome)

        await self._again(work)
        return found[-1]

    async def consent(self, who: Someone, channel: Channel, **given: Any) -> DecisionOutcome:
        """To kauppa's own marketing on the channel."""
        to: dict[str, Any] = {"reach": Reach.COMPANY, "company": "kauppa", "channels": (channel,)}
        purposes = (Purpose.OWN_MARKETING,)
        return await self.decide(self.by_id(who), Act.CONSENT, purposes=purposes, **to, **given)

    def command(self, subject: NamedSubject, act: Act = Act.BAN, **given: Any) -> Command:
        received_at = given.get("received_at", datetime.now(UTC))
        defaults: dict[str, Any] = {
            "id": uuid4(),
            "received_at": received_at,
            "said_at": received_at - timedelta(minutes=1),
        }
        return Command(subject=subject, act=act, **(defaults | given))

    def by_id(self, who: Someone) -> NamedSubject:
        return NamedSubject.of_customer(who.id)

    def by_number(self, who: Someone, company: str = "kauppa") -> NamedSubject:
        return NamedSubject.of_number(
            company, self.keys.encrypt(digest_of(PointKind.NUMBER, who.number(company)))
        )

    def by_phone(self, phone: str) -> NamedSubject:
        return NamedSubject.of_point(PointKind.PHONE, self.keys.encrypt(digest_of(PointKind.PHONE, phone)))

    def by_email(self, email: str) -> NamedSubject:
        return NamedSubject.of_point(PointKind.EMAIL, self.keys.encrypt(digest_of(PointKind.EMAIL, email)))

    def key(self, party: str, who: Someone) -> str:
        return self.keys.pairwise(party, who.id)

    async def body(self, who: Someone, party: str = "company.kauppa") -> dict[str, Any] | None:
        """The published record, without its version."""
        key = str(who.id) if party == "consents" else self.key(party, who)
        text = await self.pool.fetchval("SELECT body FROM records WHERE family = $1 AND key = $2", party, key)
        return None if text is None else json.loads(text)

    async def allowed(self, who: Someone, party: str = "company.kauppa") -> set[str]:
        """The channels on which anything is allowed."""
        body = await self.body(who, party)
        return {at["channel"] for at in (body or {}).get("points", ()) if at["allow"]}

    async def version(self, who: Someone, party: str = "company.kauppa") -> int:
        key = str(who.id) if party == "consents" else self.key(party, who)
        return int(
            await self.pool.fetchval("SELECT n FROM records WHERE family = $1 AND key = $2", party, key) or 0
        )

    async def restrictions(self, who: Someone) -> set[UUID]:
        found = await self.pool.fetchval(
            "SELECT restrictions FROM records WHERE family = 'consents' AND key = $1", str(who.id)
        )
        return set(found or ())

    async def lanes(self) -> list[str]:
        """Of all marks since this was last asked, in their order."""
        rows = await self.pool.fetch(
            "WITH gone AS (DELETE FROM marks RETURNING *) SELECT lane FROM gone ORDER BY id"
        )
        return [row["lane"] for row in rows]

    async def stale(self) -> list[tuple[str, str]]:
        """Records that differ from what the model says of all decisions and facts now; none, if nothing was lost."""
        async with self.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            try:
                everyone = [row["id"] for row in await conn.fetch("SELECT id FROM customers")]
                found = await state.load(conn, everyone)
                written = await republish(
                    conn, self.context, found, list(evaluate_people(self.context, found)), datetime.now(UTC)
                )
                return [
                    (w.family, w.key)
                    for w in written
                    if (w.family, w.key) not in found.published
                    or found.published[w.family, w.key].version != w.version
                ]
            finally:
                await transaction.rollback()

    async def _again(self, work: Any) -> None:
        """As the consumers do: begin again when somebody else was quicker."""
        for _ in range(50):
            try:
                async with transaction(self.pool) as conn:
                    await work(conn)
            except SubjectsMovedError:
                continue
            else:
                return
        raise AssertionError("never came to an end")


def a_part() -> ClearancePart:
    """Of a clearance that was given just now, for a minute."""
    now = datetime.now(UTC)
    return ClearancePart(uuid4(), 0, now, now + timedelta(minutes=1))


def erased(who: Someone) -> Customer:
    who.n += 1
    return Customer(version=f"1.{who.n}", subject=who.id, status=Status.ERASED)
