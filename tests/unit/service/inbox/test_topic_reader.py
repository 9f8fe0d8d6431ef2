"""A consumer that hangs is begun again; one that tries again by itself is left alone, but only while it does."""

import time
from types import SimpleNamespace
from typing import cast

import pytest

from kielto.kafka import TopicPartition
from kielto.service.database.pool import Pool
from kielto.service.inbox.topic_reader import TopicReader, TransientError
from kielto.service.inbox.transactional import Intake
from kielto.service.support.bulk_throttle import NOBODY

PLACE = TopicPartition("company.kauppa.decisions.v1", 0)


def test_what_failed_before_the_consumer_hung_does_not_hide_that_it_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database and the broker were killed together: nothing was taken in, and nothing was tried again either."""
    reader = TopicReader(
        cast(Pool, None), cast(Intake, SimpleNamespace(topic=PLACE.topic)), NOBODY, batch=False
    )
    reader.subscriber = SimpleNamespace(consumer=None)
    assert not reader.retrying
    reader.back_off(TransientError([(PLACE, 7, OSError())]))
    assert reader.retrying
    later = time.monotonic() + 30
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not reader.retrying
