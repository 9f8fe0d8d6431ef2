"""What happened, in order, on the harness's one monotonic clock: JSON lines, for the verdict and the picture."""

import json
import time
from pathlib import Path
from typing import Any, TextIO


class History:
    """Events are dicts with `t` (seconds since the start), `what`, and what belongs to it. Nothing personal.

    Operations are written twice: `invoke` when sent, then `ok`, `fail` (surely without effect) or `unknown`.
    """

    def __init__(self, file: Path) -> None:
        self.began = time.monotonic()
        self.events: list[dict[str, Any]] = []
        self._out: TextIO = file.open("w", encoding="utf-8")

    def now(self) -> float:
        return time.monotonic() - self.began

    def add(self, what: str, **more: Any) -> float:
        t = round(self.now(), 6)
        event = {"t": t, "what": what, **more}
        self.events.append(event)
        self._out.write(json.dumps(event, default=str) + "\n")
        return t

    def close(self) -> None:
        self._out.close()
