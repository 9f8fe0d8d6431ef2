"""A port is given to one caller, although nobody listens on it yet."""

import random
import subprocess
import sys

import pytest

from deploy.local import ports

DRAW = "import random; random.seed(7); from deploy.local import ports; print(ports.free_port())"


def test_two_calls_give_two_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([20_001, 20_001, 20_001, 20_002])
    monkeypatch.setattr(random, "randrange", lambda *_: next(drawn))
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    monkeypatch.setattr(ports, "_given", set())
    assert [ports.free_port(), ports.free_port()] == [20_001, 20_002]


def test_two_processes_are_given_two_ports() -> None:
    """Both draw the same number first; the other one still has it."""
    first = subprocess.Popen(
        [sys.executable, "-c", f"{DRAW}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None
        one = first.stdout.readline()
        other = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, text=True, check=True)
    finally:
        first.communicate("\n")
    assert one.strip() != other.stdout.strip()
