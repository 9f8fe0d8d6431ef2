"""The signed log of decisions: every change by hand is found and named, and whatever is interrupted, each decision is
sealed once."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from deploy.local.servers.stack import Stack
from kielto import seals
from kielto.seals import Head
from kielto.service.database.pool import Pool, transaction
from kielto.service.support.crypto_keys import Keys
from services.consents.commands.seals import command as seals_command
from services.consents.model.ref import NamedSubject
from services.consents.store.decision_log import seals as store
from services.consents.store.decision_log.commitment import commitment_of
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import BrokenLogError, append, erase
from services.consents.use_cases.decision_log.verify import LogReport, verify
from services.consents.use_cases.decisions import decide as deciding
from tests.integration.consents.world import ConsentsWorld, Someone

KEY = seals.signing_key(secrets.token_bytes(32))
KEYS = seals.key_set({"keys": [seals.public_key(KEY)]})


@pytest.fixture
async def root(stack: Stack, dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody who may change everything in consents' database, and switch its checks off."""
    database = dsn.rpartition("/")[2]
    conn = await asyncpg.connect(stack.postgres.dsn(database))
    await conn.execute("SET session_replication_role = replica")
    yield conn
    await conn.close()


async def commit_anew(root: "asyncpg.Connection[asyncpg.Record]") -> None:
    """As whoever rewrites the whole log does."""
    for row in await root.fetch("SELECT d.*, s.salt FROM decisions d JOIN salts s ON s.decision = d.id"):
        statement = "INSERT INTO unsealed (decision, commitment) VALUES ($1, $2)"
        await root.execute(statement, row["id"], commitment_of(row, row["salt"]))


async def decided(world: ConsentsWorld, count: int) -> list[UUID]:
    """Decisions about as many people."""
    return [(await world.decide(world.by_id(Someone()))).decision.id for _ in range(count)]


async def sealed(world: ConsentsWorld, *batches: int) -> list[UUID]:
    """Decisions by their leaves."""
    for batch in batches:
        await decided(world, batch)
        assert await append(world.context, KEY) == batch
    rows = await world.pool.fetch("SELECT decision FROM leaves ORDER BY index")
    return [row["decision"] for row in rows]


async def checked(context: Context, anchor: Head | None = None) -> LogReport:
    return await verify(context, KEYS, anchor, lambda done, total: None)


async def head(pool: Pool) -> Head:
    async with pool.acquire() as conn:
        token = await store.last_head(conn)
    assert token is not None
    return seals.read_head(token, KEYS)


async def test_what_is_sealed_holds(world: ConsentsWorld) -> None:
    ids = await sealed(world, 3, 1, 300, 7)
    waiting = await decided(world, 2)
    report = await checked(world.context)
    assert report.findings == []
    assert (report.leaves, report.heads, report.waiting, report.late) == (311, 4, 2, 0)
    assert len(set(ids)) == 311
    assert set(ids).isdisjoint(waiting)
    last = await head(world.pool)
    assert (last.batch, last.size, last.previous_size, last.epoch) == (4, 311, 304, 1)
    assert await append(world.context, KEY) == 2
    assert await append(world.context, KEY) == 0, "nothing is signed where there is nothing new"
    assert (await checked(world.context, last)).findings == []


ANOTHER = "jsonb_build_object('id', gen_random_uuid())"
CHANGES = [
    (
        "UPDATE decisions SET act = 'consent' WHERE id = $1",
        ["decision {id} (leaf 4): is not what was committed"],
    ),
    (
        "UPDATE decisions SET said_at = said_at + interval '1 microsecond' WHERE id = $1",
        ["(leaf 4): is not what"],
    ),
    ("UPDATE decisions SET lifts = ARRAY[id] WHERE id = $1", ["(leaf 4): is not what was committed"]),
    (
        "UPDATE decisions SET ref = 'c:' || gen_random_uuid() WHERE id = $1",
        ["(leaf 4): is not what was committed"],
    ),
    ("UPDATE decisions SET recorded_by = 'x' WHERE id = $1", ["(leaf 4): is not what was committed"]),
    ("UPDATE decisions SET content = 'x' WHERE id = $1", ["(leaf 4): is not what was committed"]),
    ("UPDATE decisions SET widened = ARRAY['x'] WHERE id = $1", ["(leaf 4): is not what was committed"]),
    ("DELETE FROM decisions WHERE id = $1", ["decision {id} (leaf 4): its row is gone"]),
    (
        "INSERT INTO unsealed (decision, commitment) SELECT decision, commitment FROM leaves WHERE decision = $1",
        ["decision {id}: waits to be sealed a second time"],
    ),
    (
        "DELETE FROM leaves WHERE decision = $1 OR index = 5",
        ["leaves 4 to 5: are missing", "decision {id}: is neither", "batch 2 (leaves 3 to 5)"],
    ),
    (
        f"INSERT INTO leaves SELECT {2**62}, gen_random_uuid(), sha256('x') WHERE $1::uuid IS NOT NULL",
        [f"leaves 8 to {2**62 - 1}: are missing; nothing from there on"],
    ),
    ("DELETE FROM salts WHERE decision = $1", ["(leaf 4): its salt is gone, and no erasure"]),
    (
        "UPDATE leaves SET commitment = sha256(commitment) WHERE decision = $1",
        ["leaf 4", "batch 2 (leaves 3 to 5)"],
    ),
    (
        "DELETE FROM leaves WHERE decision = $1",
        ["leaf 4: is missing", "batch 2 (leaves 3 to 5)", "decision {id}: is neither"],
    ),
    (
        "UPDATE leaves l SET index = 9 - index WHERE decision = $1 OR index = 5",
        ["batch 2 (leaves 3 to 5): changed, missing, added or in another order"],
    ),
    (
        "INSERT INTO leaves SELECT max(size), gen_random_uuid(), sha256('x') FROM seals WHERE $1::uuid IS NOT NULL",
        ["(leaf 8): its row is gone", "leaf 8: no head covers it"],
    ),
    (
        f"INSERT INTO decisions SELECT (jsonb_populate_record(d, {ANOTHER})).* FROM decisions d WHERE id = $1",
        ["is neither sealed nor waiting to be: it was put in"],
    ),
    (
        "UPDATE seals SET size = size - 1 WHERE batch = 2 AND $1::uuid IS NOT NULL",
        ["batch 2 (leaves 3 to 4): its head: was signed"],
    ),
    (
        "UPDATE seals SET head = left(head, -4) || 'AAAA' WHERE batch = 2 AND $1::uuid IS NOT NULL",
        ["batch 2 (leaves 3 to 5): its head: the signature does not match"],
    ),
    ("DELETE FROM seals WHERE batch = 2 AND $1::uuid IS NOT NULL", ["batch 2: its head is missing"]),
    (
        "DELETE FROM seals WHERE batch = 3 AND $1::uuid IS NOT NULL",
        ["leaf 6: no head covers it", "leaf 7: no head"],
    ),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=[str(n) for n in range(len(CHANGES))])
async def test_a_change_by_hand_is_found_and_named(
    world: ConsentsWorld, root: "asyncpg.Connection[asyncpg.Record]", change: str, expected: list[str]
) -> None:
    ids = await sealed(world, 3, 3, 2)
    await root.execute(
        "ALTER TABLE leaves DROP CONSTRAINT leaves_pkey; ALTER TABLE leaves ADD PRIMARY KEY (index) DEFERRABLE"
    )
    assert (await root.execute(change, ids[4]))[-1] != "0"
    findings = (await checked(world.context)).findings
    for part in expected:
        assert any(part.format(id=ids[4]) in found for found in findings), findings
    assert len(findings) <= len(expected) + 1, findings


async def test_what_waits_is_watched_too(
    world: ConsentsWorld, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    changed, deleted, _ = await decided(world, 3)
    await root.execute("UPDATE decisions SET act = 'consent' WHERE id = $1", changed)
    await root.execute("DELETE FROM decisions WHERE id = $1", deleted)
    assert (await checked(world.context)).findings == [
        f"decision {changed} (not sealed yet): is not what was committed when it was received",
        f"decision {deleted} (not sealed yet): its row is gone",
    ]


async def test_a_log_that_was_cut_or_written_anew_is_found_by_an_anchor(
    world: ConsentsWorld, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ids = await sealed(world, 3, 3, 2)
    anchor = await head(world.pool)
    await root.execute("DELETE FROM seals WHERE batch = 3")
    await root.execute("DELETE FROM leaves WHERE index >= 6")
    await root.execute("DELETE FROM decisions WHERE id = ANY ($1::uuid[])", ids[6:])
    assert (await checked(world.context)).findings == [], "by itself it is a log of six leaves"
    assert (await checked(world.context, anchor)).findings == [
        "anchor: the log has 6 leaves, the anchor 8: its end is gone"
    ]
    # Whoever has the key as well writes everything anew, with one decision changed.
    await root.execute("UPDATE decisions SET act = 'consent' WHERE id = $1", ids[0])
    await root.execute("TRUNCATE seals, leaves, tree_nodes")
    await commit_anew(root)
    assert await append(world.context, KEY) == 6
    await sealed(world, 4)
    assert (await checked(world.context)).findings == [], "only an anchor knows better"
    assert (await checked(world.context, anchor)).findings == [
        "anchor: the first 8 leaves are not those that it was signed for"
    ]


async def test_another_key_is_not_trusted(world: ConsentsWorld) -> None:
    await sealed(world, 2)
    await decided(world, 1)
    other = seals.signing_key(secrets.token_bytes(32))
    assert await append(world.context, other) == 1
    assert (await checked(world.context)).findings == [
        "batch 2 (leaves 2 to 2): its head: signed with a key that is not among the trusted ones"
    ]
    both = seals.key_set({"keys": [seals.public_key(KEY), seals.public_key(other)]})
    assert (await verify(world.context, both, None, lambda done, total: None)).findings == []


async def test_nothing_is_sealed_upon_a_log_that_was_changed(
    world: ConsentsWorld, root: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sealed(world, 3)
    await decided(world, 1)
    await root.execute("UPDATE leaves SET commitment = sha256(commitment) WHERE index = 2")
    with pytest.raises(BrokenLogError):
        await append(world.context, KEY)


async def test_an_erased_decision_is_no_error(world: ConsentsWorld) -> None:
    ids = await sealed(world, 3, 1)
    assert await erase(world.context, KEY, ids[1], "ten years are over")
    for gone in ("", "; its row is gone"):
        report = await checked(world.context)
        assert report.findings == []
        assert len(report.erased) == 1
        assert f"decision {ids[1]} (leaf 1): erased" in report.erased[0]
        assert report.erased[0].endswith(f", ten years are over{gone}")
        await world.pool.execute("DELETE FROM decisions WHERE id = $1", ids[1])


async def test_an_erasure_is_signed(world: ConsentsWorld, root: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Whoever can delete what was said could say that it was erased, or for what reason."""
    ids = await sealed(world, 3)
    await root.execute("DELETE FROM decisions WHERE id = $1", ids[0])
    await root.execute("DELETE FROM salts WHERE decision = $1", ids[0])
    await root.execute("INSERT INTO erasures VALUES ($1, now(), 'asked for')", ids[0])
    assert await erase(world.context, KEY, ids[1], "asked for")
    await root.execute("UPDATE erasures SET why = 'another reason' WHERE decision = $1", ids[1])
    assert (await checked(world.context)).findings == [
        f"decision {ids[0]} (leaf 0): its erasure: the signature does not match",
        f"decision {ids[1]} (leaf 1): its erasure: was signed for another one",
    ]


async def test_one_that_commits_late_is_sealed_in_the_next_batch(world: ConsentsWorld) -> None:
    people = [Someone() for _ in range(2)]
    async with transaction(world.pool) as slow:
        late = world.command(NamedSubject.of_customer(people[0].id))
        assert await deciding.decide(slow, world.context, late) is not None
        await world.decide(world.by_id(people[1]))
        assert await append(world.context, KEY) == 1
    assert await append(world.context, KEY) == 1
    assert await world.pool.fetchval("SELECT decision FROM leaves WHERE index = 1") == late.id
    assert (await checked(world.context)).findings == []


@pytest.mark.parametrize("step", ["alone", "waiting", "note_key", "last_head", "edge", "append"])
async def test_killed_between_steps(world: ConsentsWorld, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Just after each step the sealer is gone: nothing is skipped, nothing sealed twice."""
    await sealed(world, 3)
    await decided(world, 4)
    real: Callable[..., Awaitable[object]] = getattr(store, step)

    async def killed(*arguments: object) -> object:
        await real(*arguments)
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(store, step, killed)
        with pytest.raises(asyncio.CancelledError):
            await append(world.context, KEY)
    assert await world.pool.fetchval("SELECT count(*) FROM leaves") == 3
    assert await append(world.context, KEY) == 4
    assert await append(world.context, KEY) == 0
    assert (await checked(world.context)).findings == []


async def test_several_sealers_while_decisions_are_taken(world: ConsentsWorld) -> None:
    taking = [asyncio.create_task(decided(world, 15)) for _ in range(3)]

    async def sealing() -> None:
        while not all(task.done() for task in taking):
            await append(world.context, KEY, limit=4)
            await asyncio.sleep(0)

    await asyncio.gather(*(sealing() for _ in range(3)), *taking)
    while await append(world.context, KEY):
        pass
    report = await checked(world.context)
    assert report.findings == []
    assert (report.leaves, report.waiting) == (45, 0)


async def test_the_command(
    world: ConsentsWorld,
    context: Context,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    root: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    command = partial(seals_command, context)
    assert await command(["head"]) == 1
    ids = await sealed(world, 3)
    assert await command(["head"]) == 0
    anchor, jwks = tmp_path / "head.json", tmp_path / "keys.json"
    anchor.write_text(capsys.readouterr().out)
    assert json.loads(anchor.read_text())["size"] == 3
    jwks.write_text(json.dumps({"keys": [seals.public_key(KEY)]}))
    assert await command(["verify", "--jwks", str(jwks), "--anchor", str(anchor)]) == 0
    assert "3 sealed decisions under 1 heads" in capsys.readouterr().out
    assert await command(["erase", str(ids[0]), "ordered by the court"]) == 0
    assert await command(["erase", str(ids[0]), "again"]) == 1
    assert await command(["erase", "not-an-id", "a reason"]) == 1
    [waits] = await decided(world, 1)
    assert await command(["erase", str(waits), "not sealed yet"]) == 1
    capsys.readouterr()
    assert await command(["verify"]) == 0
    assert "ordered by the court" in capsys.readouterr().out
    await root.execute("UPDATE decisions SET act = 'consent' WHERE id = $1", ids[1])
    assert await command(["verify"]) == 1
    assert f"WRONG decision {ids[1]} (leaf 1)" in capsys.readouterr().out
    jwks.write_text(json.dumps({"keys": []}))
    assert await command(["verify", "--jwks", str(jwks), "--anchor", str(anchor)]) == 1
    assert "the anchor: signed with a key" in capsys.readouterr().err
    for wrong in (
        ["erase", str(ids[1])],
        ["erase", str(ids[1]), " "],
        ["verify", "--anchor"],
        ["verify", "--else", "x"],
        [],
        ["nothing"],
    ):
        assert await command(wrong) == 2


def test_a_keys_file_without_a_seal_key_says_what_to_add(keys: Keys) -> None:
    old = Keys(keys._file.model_copy(update={"seal_key": None}))
    with pytest.raises(ValueError, match="seal_key is missing: add"):
        _ = old.seal_key
