"""Work that fails is run again, later each time; what is waited for has a limit."""

import asyncio

import pytest
import structlog

from kielto.errors import KieltoError
from kielto.service.support.supervise import Backoff, describe, supervise, within


class Flaky:
    """Fails `times` times with `error`, then returns 7."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.runs = times, error, 0

    async def __call__(self) -> int:
        self.runs += 1
        if self.runs <= self.left:
            raise self.error
        return 7


async def test_it_returns_what_the_first_run_without_an_error_returns() -> None:
    work, failures = Flaky(4, OSError("secret")), list[Exception]()
    with structlog.testing.capture_logs() as logs:
        found = await supervise("work", work, (OSError,), Backoff(0.001, 0.004), failed=failures.append)
    assert found == 7
    assert len(failures) == 4
    assert [line["retry_seconds"] for line in logs] == [0.001, 0.002, 0.004, 0.004]
    assert {(line["event"], line["work"], line["error"]) for line in logs} == {
        ("work.failed", "work", "OSError")
    }
    assert "secret" not in str(logs)


async def test_a_long_run_makes_the_delay_short_again() -> None:
    with structlog.testing.capture_logs() as logs:
        await supervise("work", Flaky(3, OSError()), (OSError,), Backoff(0.001, 1.0, settled=0.0))
    assert [line["retry_seconds"] for line in logs] == [0.001] * 3


async def test_another_error_is_raised() -> None:
    with pytest.raises(ValueError, match="other"):
        await supervise("work", Flaky(1, ValueError("other")), (OSError,))


async def test_no_run_begins_after_the_stop() -> None:
    stop, work = asyncio.Event(), Flaky(99, OSError())
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert await supervise("work", work, (OSError,), Backoff(60.0, 60.0), stop=stop) is None
    assert await supervise("work", work, (OSError,), stop=stop) is None
    assert work.runs == 1


async def test_a_wait_has_a_limit_of_its_own() -> None:
    async def away() -> None:
        raise TimeoutError("of the database")

    event = asyncio.Event()
    assert await within(0.001, event.wait()) is None
    event.set()
    assert await within(1.0, event.wait()) is True
    with pytest.raises(TimeoutError, match="database"):
        await within(1.0, away())


def test_only_our_own_text_is_logged() -> None:
    assert describe(KieltoError("rule"))["rule"] == "rule"
    assert "rule" not in describe(ValueError("a value"))
