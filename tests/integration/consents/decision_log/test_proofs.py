"""Proof documents over HTTP: complete, verifiable without us, no more than the caller may see, and no other's."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from kielto import proof, seals
from kielto.events.topics import Lane, permissions_of
from kielto.service.database.pool import Pool, transaction
from kielto.service.process.application import Health, create_app
from kielto.service.support.crypto_keys import Keys
from services.consents.api.decision_log import proofs
from services.consents.api.decisions import decisions
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import append, erase
from tests.integration.consents.propagation.test_whereabouts import IDS, PublicationLog
from tests.integration.consents.test_api import ban, problem
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens, as_


@pytest.fixture
async def http(pool: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    routers = [decisions.router(context), proofs.router(context)]
    app = create_app("consents", routers, pool=pool, verifier=PlainTokens(), health=Health(claimed=True))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers=as_("dpo")
    ) as client:
        yield client


async def keys_of(http: httpx.AsyncClient) -> seals.Keys:
    request = http.build_request("GET", "/consents/proof-keys")
    del request.headers["Authorization"]
    return seals.key_set((await http.send(request)).json())


async def sealed_ban(
    http: httpx.AsyncClient, world: ConsentsWorld, who: Someone, token: str = "desk", **given: Any
) -> str:
    company = token.partition("@")[2]
    ident = world.key(f"company.{company}", who) if company else str(who.id)
    receipt = await ban(http, {"customer": ident}, token, **given)
    await append(world.context, world.keys.seal_key)
    return str(receipt["decision"])


async def test_a_document_says_what_was_said_and_who_had_it_when(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who, log, crm = Someone(("kauppa", "sahko")), PublicationLog(world), uuid4()
    await world.know(who)
    await log.publish(who, Lane.BULK)
    first = await ban(http, {"customer": str(who.id)}, "desk", evidence="Said no", route="phone")
    path = f"/consents/decisions/{first['decision']}/proof"
    early = await http.get(path)
    assert problem(early)[:2] == (409, "not-sealed")
    assert int(early.headers["Retry-After"]) == 5
    offset = await log.publish(who)
    applied_at = datetime.now(UTC)
    await log.acknowledge(crm, offset + 1, at=applied_at)
    for _ in range(5):
        await world.decide(world.by_id(Someone()))
    await append(world.context, world.keys.seal_key, limit=4)
    await append(world.context, world.keys.seal_key)

    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    document, head = proof.verify(answer.content, await keys_of(http))
    assert head.size == 6
    assert document.decision["act"] == "ban"
    assert document.subject.customer == str(who.id)
    assert document.in_words.startswith("No more direct marketing")
    systems = {s.subscriber: s for s in document.systems}
    assert systems["kauppa-crm"].stage == "applied"
    assert systems["kauppa-crm"].applied_at == applied_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert systems["sahko-crm"].applied_at is None
    place = document.places[0]
    assert (place.topic, place.topic_id) == (
        permissions_of("company.kauppa").topic(Lane.EXPRESS),
        str(IDS[Lane.EXPRESS]),
    )
    assert (place.partition, place.offset, place.version) == (0, offset, "1.2")
    assert "Said no" not in answer.text


async def test_a_company_gets_its_own_part(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    cited = await sealed_ban(http, world, who, "desk@kauppa", reach="company", company="kauppa")
    lifting = await http.post(
        "/consents/decisions",
        json={
            "subject": {"customer": world.key("company.kauppa", who)},
            "act": "lifting",
            "reach": "company",
            "company": "kauppa",
            "lifts": [cited],
        },
        headers=as_("desk@kauppa"),
    )
    assert lifting.status_code == 201, lifting.text
    await append(world.context, world.keys.seal_key)
    path = f"/consents/decisions/{lifting.json()['decision']}/proof"
    answer = await http.get(path, headers=as_("dpo@kauppa"))
    document, _ = proof.verify(answer.content, await keys_of(http))
    assert document.made_for == "company.kauppa"
    assert {s.party for s in document.systems} == {"company.kauppa"}
    assert document.lifts == [cited]
    ours = world.keys.from_pairwise("company.kauppa", cited)
    assert str(ours) not in answer.text
    assert str(who.id) not in answer.text
    assert document.subject.customer == world.key("company.kauppa", who)
    assert "sahko" not in answer.text
    assert problem(await http.get(path, headers=as_("dpo@sahko")))[:2] == (404, "unknown-decision")
    lifted = world.keys.from_pairwise("company.kauppa", lifting.json()["decision"])
    path = f"/consents/decisions/{lifted}/proof"
    of_all, _ = proof.verify((await http.get(path)).content, await keys_of(http))
    assert of_all.lifts == [str(ours)]


async def test_a_company_is_not_told_where_others_have_it(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who, log = Someone(("kauppa", "sahko")), PublicationLog(world)
    await world.know(who)
    ident = await sealed_ban(http, world, who, "desk@kauppa")
    for party in ("company.kauppa", "company.sahko"):
        await log.publish(who, party=party)
    ours = world.keys.from_pairwise("company.kauppa", ident)
    for token, known, count in (("dpo@kauppa", ident, 1), ("dpo", ours, 2)):
        answer = await http.get(f"/consents/decisions/{known}/proof", headers=as_(token))
        document, _ = proof.verify(answer.content, await keys_of(http))
        assert (len(document.places), document.places_in_all) == (count, count)
        assert ("sahko" in answer.text) == (count == 2)


async def test_numbers_and_addresses_stay_sealed(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    receipt = await ban(http, {"kind": "email", "value": "nobody@example.com"}, "desk")
    await append(world.context, world.keys.seal_key)
    answer = await http.get(f"/consents/decisions/{receipt['decision']}/proof")
    ref = await world.pool.fetchval("SELECT ref FROM decisions")
    document, _ = proof.verify(answer.content, await keys_of(http))
    assert document.subject.customer is None
    assert ref[2:] not in answer.text
    assert "example.com" not in answer.text
    assert document.decision["subject"] == seals.blinded(bytes.fromhex(document.salt), ref)


async def test_a_page_to_print(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    ident = await sealed_ban(http, world, who)
    await world.pool.execute("UPDATE decisions SET recorded_by = '<script>x</script>'")
    assert problem(await http.get(f"/consents/decisions/{ident}/proof"))[:2] == (409, "seal-broken")
    await world.pool.execute("UPDATE decisions SET recorded_by = 'someone'")
    path = f"/consents/decisions/{ident}/proof"
    for asked in (
        {"params": {"format": "html"}},
        {"headers": {**as_("dpo"), "Accept": "text/html,*/*;q=0.8"}},
    ):
        answer = await http.get(path, **asked)  # type: ignore[arg-type]
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "No more direct marketing" in answer.text
        assert str(who.id) in answer.text
        assert "http" not in answer.text
    browser = {**as_("dpo"), "Accept": "text/html"}
    assert (await http.get(path, params={"format": "json"}, headers=browser)).json()["signature"]


async def test_a_later_head_proves_that_the_log_only_grew(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    path = "/consents/proof-head"
    assert problem(await http.get(path))[:2] == (409, "not-sealed")
    answers = []
    for _ in range(3):
        for _ in range(3):
            await sealed_ban(http, world, Someone())
        answers.append((await http.get(path)).content)
    keys = await keys_of(http)
    for size, earlier in ((3, answers[0]), (6, answers[1]), (9, answers[2])):
        later = await http.get(path, params={"since": size}, headers=as_("desk@kauppa"))
        assert later.status_code == 200, later.text
        old, new = proof.extends(earlier, later.content, keys)
        assert (old.size, new.size) == (size, 9)

    assert problem(await http.get(path, params={"since": 10}))[:2] == (404, "no-such-head")
    assert (await http.get(path, params={"since": 0})).status_code == 422
    assert (await http.get(path, headers={"Authorization": ""})).status_code == 401
    async with transaction(pool) as conn:
        await conn.execute("UPDATE leaves SET commitment = sha256(commitment) WHERE index = 1")
    assert problem(await http.get(path, params={"since": 6}))[:2] == (409, "seal-broken")


async def test_what_is_not_to_be_had(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    path = f"/consents/decisions/{uuid4()}/proof"
    assert problem(await http.get(path))[:2] == (404, "unknown-decision")
    assert problem(await http.get(path, headers=as_("campaigns")))[:2] == (403, "missing-role")
    ident = await sealed_ban(http, world, Someone())
    assert await erase(context, context.keys.seal_key, UUID(ident), "asked for")
    assert problem(await http.get(f"/consents/decisions/{ident}/proof"))[:2] == (410, "erased")
    old = replace(context, keys=Keys(context.keys._file.model_copy(update={"seal_key": None})))
    app = create_app(
        "consents",
        [proofs.router(old)],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get(path, headers=as_("dpo"))
        assert problem(answer)[:2] == (503, "no-seal-key")
        assert len((await client.get("/consents/proof-keys")).json()["keys"]) == 1, "the old ones stay"


async def test_the_verifier_needs_a_file_and_keys_alone(
    http: httpx.AsyncClient, world: ConsentsWorld, tmp_path: Path
) -> None:
    ident = await sealed_ban(http, world, Someone())
    file, jwks, others = tmp_path / "proof.json", tmp_path / "keys.json", tmp_path / "others.json"
    answer = (await http.get(f"/consents/decisions/{ident}/proof")).json()
    file.write_text(json.dumps(answer, indent=4))
    jwks.write_bytes((await http.get("/consents/proof-keys")).content)
    others.write_text(json.dumps({"keys": [seals.public_key(seals.signing_key(b"x" * 32))]}))

    async def run(keys: Path, verb: str = "verify", *more: str) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "kielto.proof", verb, str(file), "--jwks", str(keys), *more]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PYTHONPATH": str(Path(proof.__file__).parents[1])},
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    code, said = await run(jwks)
    assert code == 0, said
    assert f"holds: decision {ident}: No more direct marketing" in said
    assert (await run(others))[0] == 1
    answer["document"]["in_words"] = "Nothing was said."
    file.write_text(json.dumps(answer))
    code, said = await run(jwks)
    assert (code, said) == (1, "does not hold: the document: the signature does not match\n")

    earlier = tmp_path / "head.json"
    earlier.write_bytes((await http.get("/consents/proof-head")).content)
    file.write_bytes((await http.get("/consents/proof-head", params={"since": 1})).content)
    code, said = await run(jwks, "extends", "--since", str(earlier))
    assert code == 0, said
    assert said.startswith("holds: the log of 1 decisions")
    file.write_bytes(earlier.read_bytes())
    code, said = await run(jwks, "extends", "--since", str(earlier))
    assert (code, said) == (1, "does not hold: since: must be the earlier head's size, 1\n")
