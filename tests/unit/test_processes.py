"""Children are started, watched and ended; and none outlives its parent, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.paths import ROOT
from deploy.local.servers.processes import Process, ProcessFailedError

# Says when it is ready, then ignores SIGTERM: it has to be killed.
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
POLITE = "import time; print('ready', flush=True); time.sleep(60)"
# A parent of two children, one of them with a child of its own; it prints all three pids.
PARENT = """
import os, pathlib, signal, sys, threading, time
from deploy.local.servers.processes import Process
folder = pathlib.Path(sys.argv[1])
family = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
first = Process("first", [sys.executable, "-c", sys.argv[3]], folder / "first.log")
second = Process("family", [sys.executable, "-c", family], folder / "family.log")
thread = threading.Thread(target=first.start)  # the end of the thread that started it must not end a child
thread.start(); thread.join()
second.start()
first.wait_until(lambda: "ready" in first.log_tail())
second.wait_until(lambda: second.log_tail() != "")
print(first.pid, second.pid, second.log_tail().strip(), flush=True)
if sys.argv[2] == "paused":
    second.pause()
if sys.argv[2] == "error":
    raise RuntimeError("half way")
if sys.argv[2] != "exit":
    time.sleep(60)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def child(folder: Path, code: str) -> Process:
    return Process("child", [sys.executable, "-c", code], folder / "child.log")


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("SIGKILL", POLITE),
        ("SIGKILL", STUBBORN),
        ("SIGTERM", POLITE),
        ("SIGINT", POLITE),
        ("SIGHUP", POLITE),
        ("error", POLITE),
        ("exit", STUBBORN),
        ("paused", POLITE),
    ],
    ids=["killed", "killed-stubborn", "SIGTERM", "Ctrl-C", "SIGHUP", "error", "exit-stubborn", "paused"],
)
def test_no_child_outlives_its_parent(tmp_path: Path, end: str, kind: str) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), end, kind]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    parent = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 3
    if end.startswith("SIG") or end == "paused":
        assert not any(gone(pid) for pid in pids)
        time.sleep(0.2)
        parent.send_signal(signal.SIGKILL if end == "paused" else signal.Signals[end])
    parent.wait(20)
    parent.stdout.close()
    until = time.monotonic() + 15
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < until, f"left running: {[pid for pid in pids if not gone(pid)]}"
        time.sleep(0.05)


def test_stop_asks_first_and_kills_after_the_grace(tmp_path: Path) -> None:
    polite = child(tmp_path, POLITE)
    stubborn = Process("stubborn", [sys.executable, "-c", STUBBORN], tmp_path / "stubborn.log")
    for process in (polite, stubborn):
        process.start()
        process.wait_until(lambda process=process: "ready" in process.log_tail())  # type: ignore[misc]
    begun = time.monotonic()
    polite.stop(grace=30)
    assert not polite.running
    assert time.monotonic() - begun < 10
    stubborn.stop(grace=0.2)
    assert not stubborn.running


def test_a_paused_child_can_be_stopped(tmp_path: Path) -> None:
    process = child(tmp_path, "import time; time.sleep(60)")
    process.start()
    process.pause()
    process.stop(grace=10)
    assert not process.running


def test_a_killed_child_can_be_started_again(tmp_path: Path) -> None:
    process = child(tmp_path, POLITE)
    process.start()
    first = process.pid
    process.kill()
    assert not process.running
    process.start()
    assert process.running
    assert process.pid != first
    process.kill()


def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    process = child(tmp_path, "import sys; print('no such setting'); sys.exit(3)")
    process.start()
    with pytest.raises(ProcessFailedError, match=r"(?s)status 3.*no such setting"):
        process.wait_until(lambda: False)


def test_a_child_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    process = child(tmp_path, "import time; time.sleep(60)")
    process.start()
    with pytest.raises(ProcessFailedError, match="not ready within"):
        process.wait_until(lambda: False, seconds=0.2)
    process.kill()


def test_run_reports_a_failure_and_an_overrun(tmp_path: Path) -> None:
    child(tmp_path, "pass").run()
    with pytest.raises(ProcessFailedError, match=r"(?s)status 1.*KeyError"):
        child(tmp_path, "{}['x']").run()
    with pytest.raises(ProcessFailedError, match="longer than"):
        child(tmp_path, "import time; time.sleep(60)").run(seconds=0.2)
