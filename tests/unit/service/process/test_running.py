"""What a process does once, when it begins."""

import gc

import pytest

from kielto.acls import SERVICES
from kielto.service.process import running
from tests.contracts.openapi import build


def test_what_stands_when_a_process_begins_is_looked_through_no_more() -> None:
    try:
        running._freeze()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("name", SERVICES)
def test_each_background_job_has_a_name_in_the_log(name: str) -> None:
    _, service = build(name)
    names = [running._name(work) for work in (*service.background, *service.at_relays)]
    assert names
    assert all(names)
