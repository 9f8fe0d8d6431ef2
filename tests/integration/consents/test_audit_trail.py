"""What a desk does leaves entries that name the decision and whom it names, and nothing personal."""

from typing import Any

import httpx

from kielto.service.database.pool import Pool
from tests.integration.consents.clearances.test_clearances import Client, client, found, reasons
from tests.integration.consents.test_api import ban, http
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import as_

__all__ = ["client", "http"]


async def trail(pool: Pool) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch("SELECT * FROM audit_trail ORDER BY id")]


async def test_a_ban_names_its_decision_and_its_customer(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    who, other = Someone(), Someone()
    other.phone = who.phone
    await world.know(who, other)
    by_id = await ban(http, {"customer": str(who.id)}, evidence="call of Maija Meikäläinen")
    by_phone = await ban(http, {"kind": "phone", "value": who.phone})
    first, second = await trail(pool)
    assert {str(ident) for ident in first["subjects"]} == {by_id["decision"], str(who.id)}
    assert {str(ident) for ident in second["subjects"]} == {by_phone["decision"]}
    assert [e["action"] for e in (first, second)] == ["POST /consents/decisions"] * 2
    assert not [text for text in (who.phone, who.phone[4:], "Maija") if text in str((first, second))]


async def test_what_staff_may_not_do_is_noted_with_its_rule(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    said = await ban(http, {"customer": str(who.id)})
    lifting = {"subject": {"customer": str(who.id)}, "act": "lifting", "reach": "company", "company": "kauppa",
               "by": "staff", "lifts": [said["decision"]]}  # fmt: skip
    refused = await http.post("/consents/decisions", json=lifting, headers=as_("desk"))
    foreign = await http.post(
        "/consents/decisions",
        json={"subject": {"company": "sahko", "number": "1"}, "act": "ban"},
        headers=as_("desk@kauppa"),
    )
    assert refused.status_code == 422
    assert foreign.status_code == 403
    found = [(e["outcome"], e["rule"], e["company"]) for e in (await trail(pool))[1:]]
    assert found[0][0] == found[1][0] == "refused"
    assert found[0][1].startswith("invalid-request: ")
    assert found[1][1:] == ("foreign-company", "kauppa")
    assert await pool.fetchval("SELECT count(*) FROM decisions") == 1


async def test_whoever_looks_up_what_was_cleared_is_noted_with_whom_it_was_about(
    client: Client, world: ConsentsWorld, pool: Pool
) -> None:
    """By whatever name: the address and the number stand in no entry."""
    who, campaigns = Someone(), client()
    await world.know(who)
    await reasons(campaigns, {"customer": world.key("company.kauppa", who)})
    number = who.number("kauppa").partition(":")[2]
    names = ({"customer": world.key("company.kauppa", who)}, {"number": number}, {"address": who.phone})
    for name in names:
        assert (await found(campaigns, name))["clearances"]
    await found(campaigns, {"number": "nobody"})
    entries = [e for e in await trail(pool) if e["action"] == "POST /consents/clearances/search"]
    assert [e["subjects"] for e in entries] == [[who.id]] * 3 + [[]]
    assert who.phone not in str(entries)
