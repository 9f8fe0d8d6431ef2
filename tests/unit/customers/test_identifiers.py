"""Identity codes and business ids."""

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.customers.model.identifiers import InvalidIdentifierError, business_id, identity_code

TODAY = date(2026, 6, 15)
_CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def code(birth: date, sign: str, individual: int) -> str:
    """By the published rule: the nine digits modulo 31."""
    digits = f"{birth:%d%m%y}{individual:03d}"
    return f"{birth:%d%m%y}{sign}{individual:03d}{_CHECK[int(digits) % 31]}"


@pytest.mark.parametrize("sign", "-YXWVU")
def test_every_sign_of_the_1900s_is_read(sign: str) -> None:
    assert identity_code(code(date(1952, 10, 13), sign, 308), TODAY).birth_date == date(1952, 10, 13)


@pytest.mark.parametrize("sign", "ABCDEF")
def test_every_sign_of_the_2000s_is_read(sign: str) -> None:
    assert identity_code(code(date(2004, 2, 29), sign, 308), TODAY).birth_date == date(2004, 2, 29)


def test_the_sign_is_part_of_the_identity() -> None:
    first, second = (identity_code(code(date(1990, 1, 2), sign, 123), TODAY) for sign in "-Y")
    assert first.code != second.code


def test_spelling_does_not_matter() -> None:
    assert identity_code(" 131052-308t ", TODAY).code == "131052-308T"


@given(days=st.integers(1, 20_000))
def test_a_birth_date_in_the_future_is_refused(days: int) -> None:
    birth = TODAY + timedelta(days=days)
    if birth.year < 2100:
        with pytest.raises(InvalidIdentifierError, match="in the future"):
            identity_code(code(birth, "A", 308), TODAY)


@pytest.mark.parametrize("text", ["131052-308U", "310252-308Y", "131052z308T", "131052-001A", "", "1" * 11])
def test_what_is_no_code_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidIdentifierError) as error:
        identity_code(text, TODAY)
    assert not text or text not in str(error.value)


@given(st.text(max_size=15))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (lambda t: identity_code(t, TODAY), business_id):
        with suppress(InvalidIdentifierError):
            read(text)


def test_a_business_id_has_one_spelling() -> None:
    assert business_id("20774740") == business_id("FI 2077474-0") == "2077474-0"
    assert business_id("737546-2") == "0737546-2"


@pytest.mark.parametrize("text", ["2077474-1", "1234567", "", "abc", "20774740000"])
def test_what_is_no_business_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdentifierError):
        business_id(text)


@pytest.mark.parametrize(
    "text", ["0000000-0", "00000000", "FI 0000000-0", "3333333-8", "9999999-2", "1234567-1", "0123456-2"]
)
def test_a_placeholder_is_no_business_id(text: str) -> None:
    """Whoever exports one where there is none would join all those customers for ever."""
    with pytest.raises(InvalidIdentifierError, match="placeholder"):
        business_id(text)


@pytest.mark.parametrize("text", ["111111-111C", "111111A111C", "111111+111C"])
def test_a_placeholder_is_no_identity_code(text: str) -> None:
    with pytest.raises(InvalidIdentifierError, match="placeholder"):
        identity_code(text, TODAY)
