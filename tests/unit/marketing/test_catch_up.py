"""What a launch waits for, look by look."""

from kielto.events.topics import CONSENTS, CUSTOMERS
from services.marketing.use_cases.catch_up import SETTLED_SECONDS, CatchUp, Ends, Wait

LATER = SETTLED_SECONDS + 0.1


def ends(customers: int, consents: int, beats: int = 0) -> Ends:
    assert CUSTOMERS.express
    found = {(CUSTOMERS.bulk, 0): customers, (CONSENTS.bulk, 0): consents, (CUSTOMERS.express, 0): beats}
    return {place: end for place, end in found.items() if end}


def test_nothing_was_registered_just_before() -> None:
    launch = CatchUp(0.0)
    assert launch.waits_for(ends(5, 5), ends(5, 5), False, 0.0) is Wait.SETTLING
    assert (
        launch.waits_for(ends(5, 5, 9), ends(5, 5, 2), False, LATER) is None
    )  # beats go on, and are not waited for


def test_an_import_that_is_still_on_its_way() -> None:
    launch = CatchUp(0.0)
    assert launch.waits_for(ends(0, 0), ends(0, 0), False, 0.0) is Wait.SETTLING
    assert launch.waits_for(ends(301, 0), ends(253, 0), False, 1.0) is Wait.READING
    assert launch.waits_for(ends(301, 0), ends(301, 0), True, 2.0) is Wait.PERMISSIONS
    assert launch.waits_for(ends(301, 301), ends(301, 253), True, 3.0) is Wait.READING
    assert launch.waits_for(ends(301, 301), ends(301, 301), False, 3.1) is Wait.SETTLING
    assert launch.waits_for(ends(301, 301), ends(301, 301), False, 3.1 + LATER) is None


def test_people_whose_permissions_never_come_are_waited_for() -> None:
    launch = CatchUp(0.0)
    for second in range(0, 100, 10):
        assert launch.waits_for(ends(1, 0), ends(1, 0), True, float(second)) is Wait.PERMISSIONS


def test_what_stood_on_the_express_topics_at_first_is_read_too() -> None:
    launch = CatchUp(0.0)
    assert launch.waits_for(ends(1, 1, 7), ends(1, 1, 6), False, 0.0) is Wait.READING
    assert launch.waits_for(ends(1, 1, 9), ends(1, 1, 7), False, LATER) is None


def test_records_that_keep_coming() -> None:
    launch = CatchUp(0.0)
    for n in range(1, 20):
        assert launch.waits_for(ends(n, n), ends(n, n), False, n * SETTLED_SECONDS / 2) is Wait.SETTLING
