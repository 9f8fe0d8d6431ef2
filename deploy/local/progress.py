"""Progress and errors, on standard error, so that standard output has only results."""

import sys

from kielto.errors import KieltoError


class LocalError(KieltoError):
    """An error that the user can fix. The command prints it and exits with status 1."""


def say(text: str) -> None:
    print(f"kielto: {text}", file=sys.stderr, flush=True)
