"""Record versions: (epoch, n), compared in that order. See docs/decisions/0001-contract.md.

`n` rises by one whenever a record's permissions or status change; `epoch` rises when a database was restored
or promoted, so that nothing written by an older primary can win.
"""

import re
from functools import lru_cache
from typing import NamedTuple

PATTERN = r"^(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,18})$"
_TEXT = re.compile(PATTERN)
_HEAD = '{"version":"'
RECORD_HEAD = _HEAD.encode()
"""How a record's value begins: its version follows."""
LARGEST = (2**31 - 1, 2**63 - 1)


class Version(NamedTuple):
    """Ordered version of one record; as text `<epoch>.<n>`, in payload and header `ce_kieltoversion`."""

    epoch: int
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.n}"

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Raise ValueError unless `text` is `<epoch>.<n>` with an epoch of 32 and an n of 64 bits."""
        return _parsed(text)


def record_bytes(version: object, body: str) -> bytes:
    """A record's value on Kafka: its stored body, a JSON object without a version, with the version as first field."""
    return f'{_HEAD}{version}",{body[1:]}'.encode()


@lru_cache(maxsize=4096)  # a message says its version twice, and most records have one of few
def _parsed(text: str) -> Version:
    match = _TEXT.fullmatch(text)
    if not match:
        raise ValueError("a version must be <epoch>.<n>, two decimal numbers without leading zeros")
    version = Version(int(match[1]), int(match[2]))
    if version > LARGEST or version.n > LARGEST[1]:
        raise ValueError("a version must have an epoch below 2^31 and an n below 2^63")
    return version
