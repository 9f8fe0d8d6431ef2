"""Cursors of listings, encrypted, since they hold ids that the caller need not know."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query

from services.consents.api.callers import invalid
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.overdue import FIRST, After

Behind = Annotated[str | None, Query(max_length=100, description="`next` of the previous page.")]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def place(context: Context, tag: bytes, last: After) -> str:
    """The cursor behind `last`. `tag`: 8 bytes, of the listing."""
    at, ident = last
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    return context.keys.encrypt(micros.to_bytes(8, signed=True) + ident.bytes + tag)


def after(context: Context, tag: bytes, text: str | None) -> After:
    if text is None:
        return FIRST
    try:
        opened = context.keys.decrypt(text)
        if opened[24:] != tag:
            raise ValueError
    except ValueError:
        raise invalid("after", "must be the next of an earlier page") from None
    micros = int.from_bytes(opened[:8], signed=True)
    return _EPOCH + timedelta(microseconds=micros), UUID(bytes=opened[8:24])
