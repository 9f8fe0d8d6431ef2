"""The benchmarks run, small: what they print is not judged here."""

import pytest

from tests.bench import bootstrap, check


@pytest.mark.slow
def test_bootstrap_runs() -> None:
    figures = bootstrap.measure(1, 5000)
    assert figures["records"] >= 5000
    assert figures.keys() >= bootstrap.GOALS.keys() | bootstrap.AT_LEAST.keys()


@pytest.mark.slow
def test_check_runs_and_all_three_agree() -> None:
    figures = check.measure(1, 5000)
    assert figures.keys() >= check.GOALS.keys()
