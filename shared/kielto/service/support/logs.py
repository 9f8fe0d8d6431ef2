"""Structured logs: one JSON object a line on standard error. No message content, no addresses, no tokens.

Logs of libraries appear from WARNING on. Exceptions are logged by kind and place, without their text, which may quote
values.
"""

import logging
import sys
import time
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from kielto.service.support import tracing

_SECONDS_APART = 5.0


def configure(level: str, service: str) -> None:
    """Set up logging for the whole process; call it once."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _kinds_only,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(_Seldom())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("kielto").setLevel(level.upper())
    logging.getLogger("services").setLevel(level.upper())


def _with(service: str) -> Processor:
    def add(_logger: Any, _name: str, event: EventDict) -> EventDict:
        event["service"] = service
        if traceparent := tracing.current():
            event["trace"] = tracing.trace_id(traceparent)
        return event

    return add


def _kinds_only(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Replace an exception by its kind and place: its text may quote values."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else None
    if error is not None:
        event["exception"], event["at"] = type(error).__name__, where(error)
    return event


def where(error: BaseException) -> str:
    """Return `<file>.py:<line>` of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""


class _Seldom(logging.Filter):
    """Let each log line of a library through once in five seconds: a Kafka client without its broker writes hundreds a
    second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(("kielto", "services")):
            return True
        now, place = time.monotonic(), (record.name, record.lineno)
        if now - self._last.get(place, -_SECONDS_APART) < _SECONDS_APART:
            return False
        self._last[place] = now
        return True
