"""The topics on which a party's subscribers acknowledge what they have applied."""

from kielto.events.envelope import Read
from kielto.events.messages import Acknowledgement, StoreDigest, StoreListing
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, PermanentError, Stateless
from kielto.service.recovery.topic_ends import TopicEnds
from services.consents.use_cases.context import Context, UnknownSubscriberError
from services.consents.use_cases.propagation import reconcile
from services.consents.use_cases.propagation.acknowledge import acknowledge, of_pair


class AcknowledgementsConsumer(Stateless):
    """What subscribers' stores have applied, and their answers to reconciliation questions."""

    def __init__(self, context: Context, party: str, ends: TopicEnds) -> None:
        self._context, self._party, self._ends = context, party, ends

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        try:
            match read.event:
                case Acknowledgement() as ack:
                    claimed = [
                        (p.topic, p.topic_id, p.partition, p.offset) for p in of_pair(self._party, ack)
                    ]
                    ends = await self._ends.known(claimed)
                    await acknowledge(conn, self._context, self._party, ack, meta.appended_at, ends)
                case StoreDigest() | StoreListing() as told:
                    await reconcile.keep_answer(conn, self._context, self._party, told, meta.appended_at)
        except UnknownSubscriberError:
            raise PermanentError("subscriber: must be a subscriber of the party") from None
        except reconcile.OutsideRangeError:
            raise PermanentError("rows: must lie in the bucket, above after and not above upto") from None
