"""Writing to a connection that has just been lost is an error of the connection, on uvloop too."""

import asyncio
from typing import Any

import uvloop
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from deploy.local.servers.stack import Stack
from kielto import kafka


def test_lost_before_the_client_has_noticed(stack: Stack) -> None:
    assert kafka.DOWN  # whose adapter it is
    error = uvloop.run(_written_to_what_is_lost(*stack.kafka.bootstrap.split(":")))
    assert isinstance(error, KafkaConnectionError), repr(error)


async def _written_to_what_is_lost(host: str, port: str) -> BaseException | None:
    """Between the loop's own telling that the connection is lost and the turn of the task that reads from it."""
    connection: Any = await create_conn(host, int(port))
    said = asyncio.get_running_loop().create_future()

    def write() -> None:
        try:
            connection.send(ApiVersionRequest())
        except BaseException as error:  # noqa: BLE001 - which one is the question
            said.set_result(error)
        else:
            said.set_result(None)

    connection._writer.transport.abort()
    asyncio.get_running_loop().call_soon(write)
    result: BaseException | None = await asyncio.wait_for(said, 10)
    connection.close()
    return result
