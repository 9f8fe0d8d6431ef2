"""If-Match as RFC 9110 has it."""

import pytest

from kielto.service.http.if_match import revisions
from kielto.service.http.problem import ProblemError


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ('"3"', {3}),
        (' "3" ', {3}),
        ('"3", "999"', {3, 999}),
        ('"3","4" ,"5"', {3, 4, 5}),
        (', "3",, "4",', {3, 4}),
        ('"a,b", "3"', {3}),
        ('W/"3", "4"', {4}),
        ('W/"3"', set()),
        ('"another"', set()),
        ('""', set()),
        ('"²"', set()),
        (f'"{"9" * 19}"', set()),
        ("*", None),
        (" * ", None),
    ],
)
def test_what_it_names(header: str, seen: set[int] | None) -> None:
    assert revisions(header) == seen


@pytest.mark.parametrize("header", ["", "3", '"3', '"3" "4"', '*, "3"', 'w/"3"', "null", '"3";', ","])
def test_what_is_no_list_names_nothing(header: str) -> None:
    assert revisions(header) == frozenset()


def test_without_it_one_is_told_how_to_get_it() -> None:
    with pytest.raises(ProblemError) as refused:
        revisions(None)
    assert (refused.value.status, refused.value.slug) == (428, "if-match-missing")
    assert "ETag" in refused.value.title
