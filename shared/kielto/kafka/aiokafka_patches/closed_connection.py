"""Makes a write to a closed connection raise KafkaConnectionError on every event loop.

aiokafka 0.14 (its issue 1038) expects an OSError, but uvloop raises a RuntimeError. When a broker dies, this error ends
tasks of the client: the refresh of metadata, or the coordination of the group, after which the consumer reads nothing
while a ping succeeds. `kielto.kafka.clients` calls `install`.
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
