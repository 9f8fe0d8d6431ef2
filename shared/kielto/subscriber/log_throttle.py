"""Warnings about something that lasts: said once in a while, not at every try."""

import logging

from kielto.subscriber.clock import clock

SECONDS = 10.0


class Telling:
    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._at = -SECONDS

    def warn(self, text: str, *values: object) -> None:
        if clock() - self._at > SECONDS:
            self._at = clock()
            self._log.warning(text, *values)
