"""Where a page of a listing ends, as whoever reads it is given it: a row's number, encrypted for one party.

A plain number would count the rows of everybody else between two of the party's own.
"""

from kielto.service.http.problem import invalid_request
from kielto.service.support.crypto_keys import Keys
from kielto.validation import FieldRule


def give(keys: Keys, party: str | None, number: int) -> str:
    """`party` None: the whole group."""
    return keys.encrypt(number.to_bytes(8) + (party or "").encode())


def take(keys: Keys, party: str | None, text: str) -> int:
    """Raises ProblemError 422 for what was not given to this party."""
    try:
        opened = keys.decrypt(text)
        if opened[8:] != (party or "").encode():
            raise ValueError
    except ValueError:
        raise invalid_request(
            FieldRule("cursor", "must be `next` of an earlier page of the same company")
        ) from None
    return int.from_bytes(opened[:8])
