"""Hypothesis strategies for every message of the contract, from its model's own fields and bounds."""

import types
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from kielto.events.base import Event
from kielto.events.messages import DecisionSubject
from kielto.events.records import Record
from kielto.events.topics import all_topics
from kielto.events.versions import PATTERN
from kielto.events.words import PointKind, Status

CARRIES = sorted({t.carries for t in all_topics(["company.a"])}, key=str)
"""What each kind of topic carries."""
EVENTS = sorted({event for carries in CARRIES for event in carries}, key=lambda e: e.kind)
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
VERSIONS = st.builds("{}.{}".format, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SUBJECTS = st.one_of(
    st.builds(DecisionSubject, id=HASHES),
    st.builds(DecisionSubject, number=HASHES),
    st.builds(DecisionSubject, point=HASHES, point_kind=st.sampled_from(PointKind)),
)


@cache
def events(model: type[Event]) -> st.SearchStrategy[Any]:
    """Any valid message of this kind."""
    strategy = _model(model)
    if issubclass(model, Record):
        erased = st.builds(model, subject=_field(model.model_fields["subject"]), version=VERSIONS)
        strategy |= erased.map(lambda record: record.model_copy(update={"status": Status.ERASED}))
    return strategy


@cache
def _model(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    if model is DecisionSubject:
        return SUBJECTS
    fields = {name: _field(info) for name, info in model.model_fields.items()}
    if issubclass(model, Record):
        fields["status"] = st.sampled_from([Status.LIVE, Status.ALIAS])
    return st.builds(model, **fields)


def _field(info: FieldInfo) -> st.SearchStrategy[Any]:
    return _of(info.annotation, list(info.metadata))


def _of(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """`metadata`: what pydantic gathered from Annotated and Field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [part for a in arguments[1:] for part in (a.metadata if isinstance(a, FieldInfo) else [a])]
        return _of(arguments[0], [*inner, *metadata])
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if a is type(None) else _of(a, metadata) for a in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_of(arguments[0], []), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(_of(arguments[0], []), _of(arguments[1], []), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation)
    if annotation is str:
        return _text(metadata)
    if annotation in (datetime, AwareDatetime):
        return MOMENTS
    bounded: Any = Annotated[annotation, *metadata] if metadata else annotation
    return st.from_type(bounded)  # an int within its bounds, a bool, a UUID


def _text(metadata: list[Any]) -> st.SearchStrategy[str]:
    pattern = next((part.pattern for part in metadata if getattr(part, "pattern", None)), None)
    if pattern == PATTERN:
        return VERSIONS
    least = max((getattr(part, "min_length", None) or 0 for part in metadata), default=0)
    if least > 1000:  # digests: longer than what a pattern can be drawn to
        return st.integers(0, 15).map(lambda digit: f"{digit:x}" * least)
    if pattern:
        return st.from_regex(pattern.replace("$", r"\Z"))
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
