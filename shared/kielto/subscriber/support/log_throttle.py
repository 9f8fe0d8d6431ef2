"""Warnings about a lasting problem, at most one every ten seconds."""

import logging

from kielto.subscriber.support.clock import clock

SECONDS = 10.0


class Telling:
    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._at = -SECONDS

    def warn(self, text: str, *values: object) -> None:
        if clock() - self._at > SECONDS:
            self._at = clock()
            self._log.warning(text, *values)
