"""Processes of ours without the seconds of processor time that each spends on importing the product.

One process of the session has imported it and forks itself for every `python -m` that a test starts; the child runs its
module with an environment and a log of its own, as if it had been started by itself. All that it has from its parent
are modules: there is no thread, no event loop, no connection when it is forked.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from deploy.local.services import environment_of

PRELOADED = (
    "services.customers.app",
    "services.consents.app",
    "services.marketing.app",
    "kielto.subscriber.stores.postgres",
)
READ_ONCE = ("PYTHON", "LD_", "SSL_", "OPENSSL_", "TZ", "LANG", "LC_")
"""Beginnings of what an interpreter reads from its environment when it begins."""
MESSAGE_BYTES = 100_000


class NurseryChild:
    """A process that was forked for us, as `subprocess.Popen` shows one."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process begins with the first child; it ends by `end()`, with this one or with its group."""

    def __init__(self) -> None:
        self._environment = environment_of({})
        self._lock, self._asked = threading.Lock(), 0
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], **options: Any) -> "NurseryChild | subprocess.Popen[bytes]":
        """In the place of `subprocess.Popen`, which still starts whatever is not ours."""
        environment = os.environ if options["env"] is None else options["env"]
        ours = list(command[:2]) == [sys.executable, "-m"] and options["user"] is None
        if not ours or _read_once(environment) != _read_once(self._environment):
            return subprocess.Popen(command, **options)
        with self._lock:
            if self._socket is None:
                self._socket = self._begin(options["process_group"])
        what = {"command": list(command[2:]), "environment": dict(environment)}
        pid = self.ask(what, [options["stdout"].fileno()])
        assert pid is not None
        return NurseryChild(self, pid)

    def end(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()

    def ask(self, what: dict[str, Any], files: Sequence[int] = ()) -> int | None:
        with self._lock:
            assert self._socket is not None
            self._asked += 1
            socket.send_fds(self._socket, [json.dumps({**what, "number": self._asked}).encode()], files)
            while True:  # a question may have been left by a test that ran out of time
                number, answer = json.loads(self._socket.recv(MESSAGE_BYTES))
                if number == self._asked:
                    return None if answer is None else int(answer)

    def _begin(self, group: int) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=group,
            )
        return ours


def _read_once(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_ONCE)}


def _serve(server: socket.socket) -> list[str] | None:
    """In each child: what it is to run. None when nobody asks any more."""
    while True:
        content, files, _, _ = socket.recv_fds(server, MESSAGE_BYTES, 1)
        if not content:
            return None
        asked = json.loads(content)
        if "ended" in asked:
            answer = _ended(asked["ended"])
        else:
            answer = os.fork()
            if answer == 0:
                server.close()
                _become(asked["environment"], files[0])
                command: list[str] = asked["command"]
                return command
            os.close(files[0])
        server.send(json.dumps([asked["number"], answer]).encode())


def _ended(pid: int) -> int | None:
    """Its status, negative for a signal's number; None while it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(environment: dict[str, str], log: int) -> None:
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.environ.clear()
    os.environ.update(environment)


def main() -> None:
    server = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    command = _serve(server)
    if command is not None:
        sys.argv = command
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
