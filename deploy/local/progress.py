"""What a person is told while things download and start: to standard error, so that output stays clean."""

import sys


def say(text: str) -> None:
    print(f"kielto: {text}", file=sys.stderr, flush=True)
