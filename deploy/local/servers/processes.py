"""Child processes that never outlive this one.

All children share one process group, led by a watcher (watcher.py) that ends the group as soon as this
process ends for any reason, SIGKILL included. The terminal's Ctrl-C does not reach the group:
this process gets it and stops its children in order. Thread-safe; a child may be started from any thread.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deploy.local.progress import LocalError

_lock = threading.Lock()
_watcher: subprocess.Popen[bytes] | None = None
_started: "weakref.WeakSet[Process]" = weakref.WeakSet()


class ServerProcess(Protocol):
    """What is needed of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...


spawn: Callable[..., ServerProcess] = subprocess.Popen
"""How to start a child; tests replace it (tests/nursery.py)."""


class ProcessFailedError(LocalError):
    """A child process ended early, failed, or was not ready in time. The message has the end of its log."""


class Process:
    """One child program with a log file; may be started again after it ended.

    `environment` is the whole environment of the child, this process's own if None. `stop_signal` is what
    asks it to end in order. `account` is the user and group to run it as, for a parent that is root.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        account: tuple[int, int] | None = None,
    ) -> None:
        self.name, self.command, self.log = name, list(command), log
        self._environment, self._stop_signal, self._account = environment, stop_signal, account
        self._child: ServerProcess | None = None

    @property
    def pid(self) -> int:
        """The pid of the child that runs now or ran last."""
        if self._child is None:
            raise ProcessFailedError(f"{self.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it; its output is appended to the log. Does nothing when it runs already."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        user, group = self._account or (None, None)
        with open(self.log, "ab") as log, _lock:
            _started.add(self)
            self._child = spawn(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else dict(self._environment),
                process_group=_group(),
                user=user,
                group=group,
                extra_groups=None if group is None else [group],
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait until `ready()` is true. Raises ProcessFailedError when it ends before that, or after `seconds`."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.running:
                code = self._child.returncode if self._child else None
                raise self.failed(f"ended with status {code} before it was ready")
            if time.monotonic() > end:
                raise self.failed(f"was not ready within {seconds:.0f} s")
            time.sleep(0.02)

    def run(self, seconds: float = 120.0) -> None:
        """Start it and wait for its end. Raises ProcessFailedError if it fails, or runs longer than `seconds`."""
        self.start()
        assert self._child is not None
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.failed(f"took longer than {seconds:.0f} s") from None
        if code:
            raise self.failed(f"failed with status {code}")

    def terminate(self) -> None:
        """Ask it to end, without waiting. Does nothing when it does not run."""
        if self._child is not None and self.running:
            self._child.send_signal(self._stop_signal)
            self._child.send_signal(signal.SIGCONT)  # a paused process gets the other signal only now

    def stop(self, grace: float = 20.0) -> None:
        """Ask it to end, and kill it after `grace` seconds. Does nothing when it does not run."""
        self.terminate()
        if self._child is not None:
            try:
                self._child.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill it, and wait until it has ended."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def failed(self, how: str) -> ProcessFailedError:
        return ProcessFailedError(f"{self.name} {how}; the end of its log:\n{self.log_tail()}")

    def log_tail(self, lines: int = 25) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def _group() -> int:
    """The process group of all children: the watcher's. Called under the lock."""
    global _watcher
    if _watcher is None or _watcher.poll() is not None:
        script = Path(__file__).with_name("watcher.py")
        _watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
    return _watcher.pid


@atexit.register
def stop_all() -> None:
    """Stop every child that still runs, all at once; called at exit."""
    left = [process for process in _started if process.running]
    stoppers = [threading.Thread(target=process.stop, args=(5.0,)) for process in left]
    for stopper in stoppers:
        stopper.start()
    for stopper in stoppers:
        stopper.join()
    if _watcher is not None and _watcher.stdin is not None:
        _watcher.stdin.close()
        _watcher.wait()
