"""A connection that is gone is an error of the connection, on every event loop.

aiokafka 0.14 (its issue 1038) expects OSError where it writes to a closed connection; uvloop raises a RuntimeError.
Met in the moment in which a broker dies, it ends the client's own tasks: the group's coordination, after which a
consumer reads nothing more and a ping succeeds, or the refreshing of metadata. `install()` has it told as what it is.
Part of the adapter, whose clients install it.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

_send = AIOKafkaConnection.send


def install() -> None:
    AIOKafkaConnection.send = _told


def _told(self: Any, request: Any, expect_response: bool = True) -> Any:
    writer = self._writer
    try:
        return _send(self, request, expect_response)
    except KafkaError:  # a RuntimeError too
        raise
    except RuntimeError as error:
        if not writer.transport.is_closing():
            raise
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error
