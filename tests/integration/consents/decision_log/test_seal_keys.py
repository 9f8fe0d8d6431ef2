"""A log that was rewritten as a whole and signed anew is found by keys that were kept elsewhere, and by no others."""

import json
import secrets
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from kielto import seals
from services.consents.commands.seals import command as seals_command
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import append
from tests.integration.consents.decision_log.test_seals import KEY, commit_anew, root, sealed
from tests.integration.consents.world import ConsentsWorld

__all__ = ["root"]


async def test_who_checks_with_the_registers_own_keys_is_told_so(
    world: ConsentsWorld,
    context: Context,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    root: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    ids = await sealed(world, 3, 3)
    await root.execute("UPDATE decisions SET act = 'consent' WHERE id = $1", ids[1])
    for table in ("leaves", "tree_nodes", "seals", "seal_keys"):
        await root.execute(f"DELETE FROM {table}")
    await commit_anew(root)
    assert await append(world.context, seals.signing_key(secrets.token_bytes(32))) == 6

    command = partial(seals_command, context)
    assert await command(["verify"]) == 0
    *_, verdict, warning = capsys.readouterr().out.splitlines()
    assert verdict.endswith("all of it holds")
    assert warning.startswith("the keys are those that the register itself holds")
    assert "--jwks" in warning

    kept = tmp_path / "keys.json"
    kept.write_text(json.dumps({"keys": [seals.public_key(KEY)]}))
    assert await command(["verify", "--jwks", str(kept)]) == 1
    shown = capsys.readouterr().out
    assert "WRONG batch 1 (leaves 0 to 5): its head: signed with a key" in shown
    assert "that the register itself holds" not in shown
