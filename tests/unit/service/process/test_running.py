"""What a process does once, when it begins."""

import gc

from kielto.service.process import running


def test_what_stands_when_a_process_begins_is_looked_through_no_more() -> None:
    try:
        running._freeze()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
