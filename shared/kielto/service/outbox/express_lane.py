"""The express lane publishes whatever takes a permission away, at once, and the heartbeats."""

import asyncio
import time
from collections.abc import Container, Sequence

from kielto.events.topics import Family, Lane
from kielto.service.outbox import pending, publish
from kielto.service.outbox.batch_send import deliver
from kielto.service.outbox.heartbeats import Beats
from kielto.service.outbox.leader import must_be_checked
from kielto.service.support.supervise import within

LIMIT = 500
LOOK_SECONDS = 0.25
_UNDELETED = 100


class ExpressLane:
    """One leadership of the lane. NOTIFY wakes it; every LOOK_SECONDS it looks for marks that committed late."""

    def __init__(self, leads: pending.Leadership, beats: Beats) -> None:
        self._conn, self._producer, self._refusals = leads.conn, leads.producer, leads.refusals
        self._leads, self._beats = leads, beats
        self._after = 0
        self._done: list[tuple[pending.Marked, int]] = []
        self._next_look = 0.0
        self._wake = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping` is set. Raises LaneStoppedError, or an error of PostgreSQL."""
        await self._conn.add_listener(publish.EXPRESS, lambda *_: self._wake.set())
        while not stopping.is_set():
            now = time.monotonic()
            if self._beats.due() or now >= self._next_look:
                await self._look()
            elif self._wake.is_set():
                self._wake.clear()
                await self._new()
            elif self._done:
                await self._delete()
            else:
                await within(min(self._next_look - now, self._beats.wait()), self._wake.wait())
        await self._delete()

    async def _new(self) -> None:
        """Publish the marks behind the last one seen; nearly every ban takes this way."""
        found, self._after, count = await pending.fetch(
            self._conn, Lane.EXPRESS, self._going(), self._after, LIMIT
        )
        await self._publish(found)
        if count == LIMIT:
            self._wake.set()
        if len(self._done) >= _UNDELETED:
            await self._delete()

    async def _look(self) -> None:
        """Publish all marks, including those that committed late; then, if it is due, the heartbeat that vouches for
        them.
        """
        await must_be_checked(self._conn)
        due = self._beats.due()
        while True:
            await self._delete()  # or what is published would be found again
            look = await self._beats.look(self._conn) if due else None  # before the marks
            going = self._going()
            found, last, count = await pending.fetch(self._conn, Lane.EXPRESS, going, 0, LIMIT)
            refused = await self._publish(found)
            self._after = max(self._after, last)
            if count < LIMIT:
                break
        if look is not None:
            # Of those looked at just now, whatever the time is: a topic whose wait is over meanwhile was not.
            clear = {name for name, family in going.items() if family.topic(Lane.EXPRESS) not in refused}
            messages = self._beats.messages(look, clear)
            await self._refusals.note((m.topic for m in messages), await deliver(self._producer, messages))
            self._beats.acknowledged()
        self._next_look = time.monotonic() + LOOK_SECONDS

    async def _publish(self, found: Sequence[pending.Marked]) -> Container[str]:
        """Publish the marked records; returns the topics that rejected one, where some marked records are therefore
        not published.
        """
        if not found:
            return ()
        delivered = await deliver(
            self._producer,
            [pending.message(marked, Lane.EXPRESS, self._leads.decrypt_record) for marked in found],
        )
        self._done += [
            (marked, offset)
            for marked, offset in zip(found, delivered.offsets, strict=True)
            if offset is not None
        ]
        if delivered.error:
            await self._delete()
        await self._refusals.note((marked.family.topic(Lane.EXPRESS) for marked in found), delivered)
        return delivered.refused

    def _going(self) -> dict[str, Family]:
        """The families whose topic accepts records now. The marks of the others wait, and no heartbeat vouches for
        them.
        """
        return self._refusals.going(self._leads.families, Lane.EXPRESS)

    async def _delete(self) -> None:
        """Delete exactly the marks that were read and whose records the broker has acknowledged."""
        done, self._done = self._done, []
        if done:
            await pending.published(self._conn, Lane.EXPRESS, done, self._leads.topic_ids)
