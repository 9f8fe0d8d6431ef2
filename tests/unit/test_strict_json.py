"""JSON in which a name stands once in an object, and that every body is read by it."""

import json
import time

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from kielto.acls import SERVICES
from kielto.service.http.error_handlers import answer_errors
from kielto.service.http.strict_route import StrictRoute
from kielto.strict_json import DEPTH, DuplicateNameError, NotJsonError, loads
from tests.contracts.openapi import build


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b'{"number":"D2","deceased":true,"deceased":false}', "deceased"),
        (b'{"a":1,"a":1}', "a"),
        (b'{"b":[{"c":{"d":1,"e":2,"d":3}}]}', "d"),
        (b'{"a":1,"\\u0061":2}', "a"),
        (b'{"aino@example.com":1,"aino@example.com":2}', "?"),
        ('{"ä":1,"ä":1}', "?"),
    ],
)
def test_a_name_given_twice_is_named(text: bytes | str, field: str) -> None:
    with pytest.raises(DuplicateNameError) as caught:
        loads(text)
    assert caught.value.field == field
    assert "aino" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b'{"a":NaN}', b"[Infinity]", b"[" * 100_000, b"1" * 10_000, b"{'a':1}", b"1 2"],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(NotJsonError):
        loads(text)


def test_a_name_given_twice_among_thousands_is_found_at_once() -> None:
    names = ",".join(f'"a{n}":0' for n in range(60_000))
    began = time.process_time()
    with pytest.raises(DuplicateNameError):
        loads("{" + names + ',"a59999":0}')
    assert time.process_time() - began < 2  # of quadratic work it was 80 s


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}"), ('{"a":[', "]}")])
def test_depth_is_bounded_whatever_is_on_the_stack(left: str, right: str) -> None:
    levels = DEPTH // sum(left.count(c) for c in "[{")
    assert loads(left * levels + "1" + right * levels)
    for more in (1, 2, 400, 800, 890):
        with pytest.raises(NotJsonError):
            loads(left * (levels + more) + "1" + right * (levels + more))


@pytest.mark.parametrize(
    "text",
    [
        r'["\ud800"]',
        r'{"a\uDFFF":1}',
        r'["\udc00\ud800"]',
        r'[{"a":["x\ud83d"]}]',
        r'{"\ud800":1,"\udfff":1}',
    ],
)
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(NotJsonError):
        loads(text)
    assert loads(r'["\ud83d\ude00", "\\ud800"]') == ["\N{GRINNING FACE}", r"\ud800"]


def test_many_lists_beside_one_another_are_not_deep() -> None:
    assert loads(json.dumps([[[0]]] * 5000)) == [[[0]]] * 5000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_everything_else_is_read_as_it_is(value: object) -> None:
    assert loads(json.dumps(value)) == loads(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_reads_its_body_so(service: str) -> None:
    routes = [r for router in build(service)[1].routers for r in router.routes if isinstance(r, APIRoute)]
    assert routes
    assert [r.path for r in routes if not isinstance(r, StrictRoute)] == []


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", "application/problem+JSON; charset=utf-8"]
)
async def test_however_its_kind_is_written(kind: str) -> None:
    """FastAPI reads a media type in any case (RFC 9110, section 8.3.1)."""
    routes = APIRouter(route_class=StrictRoute)

    @routes.post("/things")
    async def post(thing: dict[str, bool]) -> dict[str, bool]:
        return thing

    app = FastAPI()
    app.include_router(routes)
    answer_errors(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(
            "/things", content=b'{"deceased":true,"deceased":false}', headers={"Content-Type": kind}
        )
    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"field": "deceased", "rule": "must be given only once in an object"}],
    )
