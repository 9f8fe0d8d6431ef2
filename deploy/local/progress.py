"""What a person is told, on standard error, so that output stays clean: progress, and what went wrong."""

import sys

from kielto.errors import KieltoError


class LocalError(KieltoError):
    """Something that a person can understand and mend; the command prints it and ends with status 1."""


def say(text: str) -> None:
    print(f"kielto: {text}", file=sys.stderr, flush=True)
