"""What is kept of a message that cannot be taken in: encrypted, small, and no longer than it is needed."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.exceptions import InvalidTag

from kielto.events import envelope
from kielto.events.base import Event
from kielto.events.records import Permissions
from kielto.events.topics import Lane
from kielto.service.database import pool
from kielto.service.inbox import quarantine, quarantine_api
from kielto.service.inbox.handlers import Meta, PermanentError, Subscription
from kielto.service.inbox.quarantine import NotQuarantinedError, Quarantine, QuarantineReason, put
from kielto.service.process.application import Health, create_app
from tests.integration.service.http.test_audit_trail import KEYS
from tests.integration.service.support import CIPHER, Bench, key, quarantine_of
from tests.tokens import PlainTokens, as_

SECRET = b"040 123 4567"


class Takes:
    """A handler that takes everything."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def handle(self, conn: Any, read: Any, meta: Meta) -> None:
        self.taken.append(read.key)

    async def deny(self, *_: Any) -> None:
        raise AssertionError


async def kept(service: Bench, value: bytes, **record: Any) -> tuple[Quarantine, Takes]:
    """A record of the bench's family with this value, in quarantine."""
    topic, k, takes = service.family.topic(Lane.BULK), key(), Takes()
    message = envelope.encode(Permissions(version="1.1", subject=k), key=k, source="consents")
    fields = {
        "key": k.encode(),
        "headers": [*message.headers, ("x", SECRET)],
        "value": value or message.value,
    }
    async with pool.transaction(service.pool) as conn:
        meta = Meta(topic, uuid4(), 0, 7, 0)
        await put(
            conn,
            CIPHER,
            SimpleNamespace(**fields | record),
            meta,
            QuarantineReason("r", keyless=False, holds=True),
        )
    return quarantine_of(service, [Subscription(topic, takes)]), takes


class MovedError(Exception):
    pass


class TakesLater(Takes):
    """Somebody else is quicker at first; what it wrote by then is not kept."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    async def handle(self, conn: Any, read: Any, meta: Meta) -> None:
        self.left -= 1
        if self.left >= 0:
            await conn.execute("UPDATE quarantine SET note = 'half done'")
            raise MovedError
        await super().handle(conn, read, meta)

    async def customer(self, conn: Any, key: str | None) -> UUID:
        return UUID(int=1)

    async def tell(self, *_: Any) -> None:
        raise AssertionError

    async def compute_anew(self, conn: Any, customer: UUID) -> None:
        self.left -= 1
        if self.left >= 0:
            raise MovedError


async def test_a_replay_begins_again_where_somebody_else_was_quicker(service: Bench) -> None:
    asked, _ = await kept(service, b"")
    (one,) = await asked.listed()
    takes = TakesLater(2)
    patient = replace(asked, subscriptions=[Subscription(one.topic, takes)], begin_again=(MovedError,))
    await patient.replay(one.id, by="somebody")
    assert len(takes.taken) == 1
    rows = await service.pool.fetch("SELECT state, note FROM quarantine")
    assert [tuple(row) for row in rows] == [("replayed", None)]


async def test_a_discard_begins_again_too_but_not_for_ever(service: Bench) -> None:
    asked, takes = await kept(service, b"")
    await service.pool.execute("UPDATE quarantine SET customer = $1", UUID(int=1))
    (one,) = await asked.listed()
    for times, done in ((1000, False), (2, True)):
        holding = TakesLater(times)
        patient = replace(
            asked,
            subscriptions=[Subscription(one.topic, takes, holding=holding)],
            begin_again=(MovedError,),
        )
        if done:
            await patient.discard(one.id, by="somebody")
        else:
            with pytest.raises(TimeoutError):
                await patient.discard(one.id, by="somebody")
    assert await service.pool.fetchval("SELECT state FROM quarantine") == "discarded"


async def content(service: Bench) -> bytes | None:
    found: bytes | None = await service.pool.fetchval("SELECT content FROM quarantine")
    return found


async def test_content_is_sealed_and_opened_at_its_place_only(service: Bench) -> None:
    asked, takes = await kept(service, b"")
    row = await service.pool.fetchrow("SELECT quarantine::text AS whole, content FROM quarantine")
    assert row is not None
    assert SECRET.hex() not in row["whole"]
    assert SECRET not in row["content"]
    await service.pool.execute('UPDATE quarantine SET "offset" = 8')
    with pytest.raises(InvalidTag):
        await asked.replay(1, by="a test")
    await service.pool.execute('UPDATE quarantine SET "offset" = 7')
    (one,) = await asked.listed()
    await asked.replay(one.id, by="a test", note="mended")
    assert len(takes.taken) == 1


@pytest.mark.parametrize("close", [Quarantine.discard, Quarantine.replay])
async def test_content_is_deleted_when_it_is_closed(service: Bench, close: Callable[..., Any]) -> None:
    asked, _ = await kept(service, b"")
    assert await content(service) is not None
    (one,) = await asked.listed()
    await close(asked, one.id, by="anna", note="why")
    assert await content(service) is None
    row = await service.pool.fetchrow("SELECT closed_by, note, closed_at FROM quarantine")
    assert row is not None
    assert (row["closed_by"], row["note"]) == ("anna", "why")
    with pytest.raises(NotQuarantinedError):
        await close(asked, one.id, by="anna")


async def test_content_is_deleted_after_its_time_and_the_message_still_holds(service: Bench) -> None:
    asked, takes = await kept(service, b"")
    await quarantine.forget(service.pool, 30)
    assert await content(service) is not None
    await service.pool.execute("UPDATE quarantine SET at = now() - interval '31 days'")
    await quarantine.forget(service.pool, 30)
    assert await content(service) is None
    (one,) = await asked.listed()
    assert one.holds
    with pytest.raises(PermanentError, match="was deleted after its time"):
        await asked.replay(one.id, by="a test")
    assert not takes.taken
    await asked.discard(one.id, by="a test")


async def test_of_what_is_too_large_the_first_bytes_are_kept(service: Bench) -> None:
    large = b"z" * 2_000_000
    asked, _ = await kept(service, large)
    encrypted = await content(service)
    assert encrypted is not None
    assert len(encrypted) < 4000
    _, headers, value = quarantine._unpacked(CIPHER.decrypt(encrypted, _place(service)))
    assert value == large[:256]
    assert dict(headers)["length"] == b"2000000"
    assert dict(headers)["sha256"] == hashlib.sha256(large).hexdigest().encode()
    with pytest.raises(PermanentError, match="too large"):
        await asked.replay((await asked.listed())[0].id, by="a test")


async def test_a_party_sees_and_closes_those_of_its_own_topics(service: Bench) -> None:
    asked, _ = await kept(service, b"")
    (one,) = await asked.listed(party=service.family.name)
    assert await asked.listed(party=f"{service.family.name}x") == []
    assert await asked.listed(party=service.family.name[:-1]) == [], "a name is no prefix of another"
    for close in (asked.discard, asked.replay):
        with pytest.raises(NotQuarantinedError):
            await close(one.id, by="a test", party="company.other")
    assert await asked.listed(after=one.id) == []


async def test_a_company_names_its_messages_by_its_own_ids(service: Bench) -> None:
    """Numbers would count those of everybody else."""
    async with pool.transaction(service.pool) as conn:
        for offset, company in enumerate(("kauppa", "sahko", "kauppa")):
            meta = Meta(f"company.{company}.decisions.v1", uuid4(), 0, offset, 0)
            record = SimpleNamespace(key=b"k", headers=[], value=b"{")
            await put(conn, CIPHER, record, meta, QuarantineReason("r", keyless=False, holds=True))
    asked = Quarantine(service.pool, KEYS, service.topics, ())
    app = create_app(
        "people",
        [quarantine_api.router("people", asked)],
        pool=service.pool,
        verifier=PlainTokens("staff-{token}"),
        health=Health(claimed=True),
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:

        async def listed(token: str, query: str = "") -> Any:
            return (await http.get(f"/people/quarantine?{query}", headers=as_(token))).json()

        async def discard(token: str, ident: object) -> int:
            path, why = f"/people/quarantine/{ident}/discard", {"reason": "a test"}
            return (await http.post(path, json=why, headers=as_(token))).status_code

        group = [m["id"] for m in (await listed("dpo"))["messages"]]
        assert group == [1, 2, 3]
        (theirs,) = [m["id"] for m in (await listed("dpo@sahko"))["messages"]]
        page = await listed("dpo@kauppa", "limit=1")
        first, after = page["messages"][0]["id"], page["next"]
        assert first == after == KEYS.pairwise("company.kauppa", UUID(int=1))
        (second,) = (await listed("dpo@kauppa", f"after={after}"))["messages"]
        nobodys = KEYS.pairwise("company.kauppa", uuid4())
        for ident in (1, theirs, nobodys, "0" * 64):
            assert await discard("dpo@kauppa", ident) == 404
            assert (await listed("dpo@kauppa", f"after={ident}"))["messages"] == []
        assert await discard("dpo", first) == 404
        assert await discard("dpo@kauppa", second["id"]) == 204
        assert await discard("dpo", 2) == 204
        assert [m["id"] for m in (await listed("dpo"))["messages"]] == [1]


def _place(service: Bench) -> str:
    return quarantine._place(service.family.topic(Lane.BULK), 0, 7)


async def test_whom_it_is_about_is_told_when_it_comes_and_when_it_goes(service: Bench) -> None:
    somebody = UUID(int=7)

    class Holds:
        computed = 0
        told: ClassVar[list[Any]] = []

        async def customer(self, conn: Any, key: str | None) -> UUID | None:
            return somebody if key == "theirs" else None

        async def compute_anew(self, conn: Any, customer: UUID) -> None:
            assert customer == somebody
            Holds.computed += 1

        async def tell(self, conn: Any, event: Event | None, reason: str, meta: Meta) -> None:
            Holds.told.append((event, reason, meta.offset))

    record = SimpleNamespace(key=b"theirs", headers=[], value=b"{")
    subscription = Subscription("company.a.decisions.v1", Takes(), holding=Holds())
    for holds, expected in ((False, 0), (True, 1), (True, 1)):
        async with pool.transaction(service.pool) as conn:
            meta = Meta(subscription.topic, somebody, 0, int(holds), 0)
            await put(
                conn,
                CIPHER,
                record,
                meta,
                QuarantineReason("r", keyless=False, holds=holds),
                subscription.holding,
            )
        assert Holds.computed == expected, "once, however often it comes; not for what takes nothing away"
    assert Holds.told == [(None, "r", 0), (None, "r", 1)]
    asked = quarantine_of(service, [subscription])
    for one in await asked.listed():
        await asked.discard(one.id, by="a test")
    assert Holds.computed == 2
