"""The short form of `./kielto test faults`: few seeds of scenarios that no other test has, on real processes."""

from pathlib import Path

import pytest

from tests.faults.run import Options, ScenarioRun, ScenarioSkippedError
from tests.faults.schedule import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("number", [5, 12])
async def test_every_promise_holds(number: int, tmp_path: Path) -> None:
    run = ScenarioRun(SCENARIOS[number], Options(seeds=(1,), decisions=90), tmp_path)
    try:
        async for outcome in run.seeds():
            verdict = outcome.verdict
            assert verdict.good, verdict.found
            assert verdict.acknowledged > 60
            assert verdict.asked > 100
    except ScenarioSkippedError as why:
        pytest.skip(str(why))
