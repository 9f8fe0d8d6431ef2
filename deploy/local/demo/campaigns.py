"""The campaign system of the demo: reads audiences from Kafka, and asks the gate before it sends each message.

    python -m deploy.local.demo.campaigns SUBSCRIBER --port N --keys FILE --spool FOLDER --rate MESSAGES_PER_SECOND

Its "sending" is a line in its own list. Three nets catch a send: the recall on the audiences topic, the state in its
store, and the gate when that is stale; it counts which one did.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from deploy.local.demo.receiver import options, routes, serve, subscriber_of
from kielto import kafka
from kielto.events import topics
from kielto.events.base import Event
from kielto.events.envelope import Read, read
from kielto.events.messages import Audience
from kielto.events.records import CompanyCustomer
from kielto.subscriber import Question, Subscriber


@dataclass(slots=True)
class Mailer:
    """The queue, and what was sent to whom (by the company's ids) and when."""

    subscriber: Subscriber
    rate: float
    addresses: dict[str, dict[str, str]] = field(default_factory=dict)
    queue: deque[Audience] = field(default_factory=deque)
    recalled: set[tuple[str, str]] = field(default_factory=set)
    sent: list[tuple[str, str, float]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    paused: bool = True

    def take(self, event: CompanyCustomer | Audience) -> None:
        match event:
            case CompanyCustomer():
                self.addresses[event.subject] = {p.point: p.value for p in event.points}
            case Audience(action="recall"):
                self.recalled.add((str(event.campaign), event.subject))
            case Audience():
                self.queue.append(event)

    async def work(self) -> None:
        """Send at the given rate, forever."""
        begun, done = time.monotonic(), 0
        while True:
            if self.paused or not self.queue:
                await asyncio.sleep(0.005)
                begun, done = time.monotonic(), 0
                continue
            self.hand_over(self.queue.popleft())
            done += 1
            await asyncio.sleep(max(0.0, begun + done / self.rate - time.monotonic()))

    def hand_over(self, message: Audience) -> None:
        """Ask the gate about the address, and send directly afterwards."""
        if (str(message.campaign), message.subject) in self.recalled:
            self.refused["recalled"] += 1
            return
        for point in message.points:
            address = self.addresses.get(message.subject, {}).get(point.point)
            question = Question(
                purpose=message.purpose,
                channel=message.channel,
                customer=message.subject,
                address=address,
                product_group=message.product_group,
            )
            answer = self.subscriber.may(question)
            if answer and address is not None:
                self.sent.append((str(message.campaign), message.subject, time.time()))
            else:
                self.refused[answer.reason if address else "no-address"] += 1
            return

    async def listen(self, bootstrap: str) -> None:
        """Audiences and the customers' addresses, both from their beginning."""
        party = self.subscriber.party
        carries: dict[str, tuple[type[Event], ...]] = {
            topics.audiences(party): (Audience,),
            topics.customers_of(party).bulk: (CompanyCustomer,),
        }
        consumer = kafka.consumer(bootstrap)
        await consumer.start()
        try:
            consumer.assign([kafka.TopicPartition(t, p) for t in carries for p in range(topics.PARTITIONS)])
            while True:
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        found = read(carries[partition.topic], record.key, record.value, record.headers)
                        if isinstance(found, Read) and isinstance(found.event, CompanyCustomer | Audience):
                            self.take(found.event)
        finally:
            await consumer.stop()


def mailer_routes(app: FastAPI, mailer: Mailer) -> None:
    @app.get("/sent")
    async def sent() -> list[tuple[str, str, float]]:
        return mailer.sent

    @app.get("/queue")
    async def queue() -> dict[str, Any]:
        return {
            "waiting": [m.subject for m in mailer.queue],
            "sent": len(mailer.sent),
            "refused": dict(mailer.refused),
            "addresses": len(mailer.addresses),
        }

    @app.post("/pause/{state}")
    async def pause(state: bool) -> None:
        mailer.paused = state


def main() -> None:
    parser = options("The campaign system of the demo.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--rate", type=float, default=400.0)
    given = parser.parse_args()
    subscriber = subscriber_of(given)
    mailer = Mailer(subscriber, given.rate)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with subscriber:
            tasks = [asyncio.create_task(mailer.listen(given.bootstrap)), asyncio.create_task(mailer.work())]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(lifespan=running)
    routes(app, subscriber)
    mailer_routes(app, mailer)
    serve(app, given.port)


if __name__ == "__main__":
    main()
