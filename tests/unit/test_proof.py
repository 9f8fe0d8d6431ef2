"""Proof documents by themselves: whatever is changed in one, it no longer holds."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto import merkle, proof, seals
from kielto.seals import Head, SealRefusedError

KEY, OTHER = seals.signing_key(b"k" * 32), seals.signing_key(b"o" * 32)
KEYS = seals.key_set({"keys": [seals.public_key(KEY)]})
SALT = b"s" * 32
CUSTOMER = "0198c0de-0000-7000-8000-000000000001"
SAID = {"v": 1, "id": "x", "subject": seals.blinded(SALT, f"c:{CUSTOMER}"), "lifts": []}
LEAVES = [merkle.leaf_hash(seals.commitment(SALT, SAID)), merkle.leaf_hash(b"another")]
HEAD = Head(1, 2, merkle.root(LEAVES).hex(), 0, merkle.EMPTY.hex(), 1, "2026-01-01T00:00:00.000000Z")


def made(key: Any = KEY, head: str | None = None, **changes: Any) -> dict[str, Any]:
    document = {
        "kind": "kielto-proof/1",
        "made_at": "2026-01-01T00:00:00.000000Z",
        "made_for": "group",
        "decision": SAID,
        "in_words": "No more.",
        "subject": {"kind": "customer", "customer": CUSTOMER},
        "lifts": [],
        "salt": SALT.hex(),
        "leaf": 0,
        "inclusion": [LEAVES[1].hex()],
        "head": head or seals.sign(HEAD._asdict(), KEY, seals.HEAD),
        "systems": [],
        "places": [],
        "places_in_all": 0,
    } | changes
    return {"document": document, "signature": seals.detached(seals.sign(document, key, seals.PROOF))}


def refused(given: object, why: str) -> None:
    with pytest.raises(SealRefusedError, match=why):
        proof.verify(given if isinstance(given, str) else json.dumps(given), KEYS)


def test_a_document_holds_however_it_is_laid_out() -> None:
    for indent in (None, 4):
        document, head = proof.verify(json.dumps(made(), indent=indent, sort_keys=True), KEYS)
        assert (document.in_words, head) == ("No more.", HEAD)


def test_every_single_change_is_seen() -> None:
    """Of every value of the document, and of the signatures."""
    whole = made()
    places = list(leaves_of(whole))
    assert len(places) >= 15
    for place in places:
        changed = copy.deepcopy(whole)
        target: Any = changed
        for name in place[:-1]:
            target = target[name]
        value = target[place[-1]]
        target[place[-1]] = value + 1 if isinstance(value, int) else flipped(value)
        with pytest.raises(SealRefusedError):
            proof.verify(json.dumps(changed), KEYS)


def leaves_of(value: Any, *place: Any) -> Any:
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if items is None:
        yield place
    else:
        for name, item in items:
            yield from leaves_of(item, *place, name)


def flipped(text: str) -> str:
    return ("B" if text[:1] == "A" else "A") + text[1:]


def answer(size: int, since: int | None = None, key: Any = KEY, **changes: Any) -> str:
    """Of a log whose leaves are 0, 1, 2 and so on."""
    leaves = [merkle.leaf_hash(bytes([n])) for n in range(size)]
    head = HEAD._replace(size=size, root=merkle.root(leaves).hex())
    parts = merkle.consistency(since, size) if since else []
    path = [merkle.root(leaves[part.begin : part.end]).hex() for part in parts]
    told = {"head": seals.sign(head._asdict(), key, seals.HEAD), "since": since, "consistency": path}
    return json.dumps(told | changes)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9, 64, 100])
def test_a_log_that_grew_begins_with_what_it_was(size: int) -> None:
    for since in range(1, size + 1):
        old, new = proof.extends(answer(since), answer(size, since), KEYS)
        assert (old.size, new.size) == (since, size)


def test_a_log_that_was_changed_does_not() -> None:
    whole = answer(9, 5)
    path = json.loads(whole)["consistency"]
    changed = [[*path[:n], "00" * 32, *path[n + 1 :]] for n in range(len(path))]
    for other in (*changed, path[:-1], [*path, "00" * 32], path[::-1], []):
        with pytest.raises(SealRefusedError, match="does not begin with the earlier one"):
            proof.extends(answer(5), answer(9, 5, consistency=other), KEYS)
    for earlier, later, why in (
        (answer(4), whole, "since: must be the earlier head's size, 4"),
        (answer(5), answer(9), "since: must be the earlier head's size, 5"),
        (answer(5, key=OTHER), whole, "the earlier head: signed with a key"),
        (answer(5), answer(9, 5, key=OTHER), "the later head: signed with a key"),
        ("{}", whole, "the earlier head: head"),
        (answer(5), answer(9, 5, more=1), "the later head: more"),
    ):
        with pytest.raises(SealRefusedError, match=why):
            proof.extends(earlier, later, KEYS)


def test_what_the_signer_itself_cannot_claim() -> None:
    """Signed rightly, and still not what was sealed."""
    sealed = "differs from the one that was sealed"
    refused(made(leaf=1), sealed)
    refused(made(leaf=-1), sealed)
    refused(made(decision=SAID | {"id": "y"}), sealed)
    refused(made(salt="00" * 32), sealed)
    refused(made(inclusion=[]), sealed)
    refused(made(subject={"kind": "customer", "customer": CUSTOMER[:-1] + "2"}), "subject: differs from")
    refused(made(lifts=["x"]), "lifts: differ from")


def test_signatures_by_others_or_for_something_else() -> None:
    refused(made(OTHER), "the document: signed with a key that is not among the trusted ones")
    refused(made(head=seals.sign(HEAD._asdict(), OTHER, seals.HEAD)), "tree head: signed with a key")
    refused(
        made(head=seals.sign(HEAD._asdict(), KEY, seals.PROOF)),
        "tree head: must be a signature of type kielto-head",
    )
    refused(made(head=seals.sign({"size": 2}, KEY, seals.HEAD)), "tree head: lacks the fields")
    refused(
        made(head=seals.sign(HEAD._asdict() | {"size": True}, KEY, seals.HEAD)),
        "tree head: lacks the fields",
    )
    whole = made()
    none = seals.detached("eyJhbGciOiJub25lIn0.e30.")  # {"alg":"none"}
    refused(whole | {"signature": none}, "the document: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"document": 1}',
        "[" * 100_000,
        '{"a": 1.5}',
        '{"a": 1, "a": 1}',
        '{"a": NaN}',
        "null",
    ],
)
def test_what_is_no_document(text: str) -> None:
    refused(text, "the document: ")
    refused(json.dumps(made())[:-1] + ', "signature": "x"}', "without repeated names")


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii")), inner),
)


@given(plain)
def test_canonical_json_says_the_same_in_one_form(value: Any) -> None:
    text = seals.canonical(value)
    assert seals.parse(text) == value
    assert seals.canonical(seals.parse(json.dumps(value, indent=2))) == text


def test_canonical_json_is_rfc_8785s() -> None:
    """After the example of its section 3.2, without the numbers that we do not sign."""
    given = {
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
        "1": {"f": {"f": "hi", "F": 5}, "\n": 56},
    }
    assert (
        seals.canonical(given)
        == (
            '{"1":{"\\n":56,"f":{"F":5,"f":"hi"}},"literals":[null,true,false],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )
    for wrong in (1.0, 2**53, {"ä": 1}, {1: 1}, b"", float("nan")):
        with pytest.raises(ValueError):  # noqa: PT011 - each says something else
            seals.canonical([wrong])


def test_keys_are_known_by_their_thumbprints_alone() -> None:
    lied = seals.public_key(OTHER) | {"kid": KEY.thumbprint()}
    assert set(seals.key_set({"keys": [lied]})) == {OTHER.thumbprint()}
    cases: list[object] = [[], {}, {"keys": [1]}, {"keys": 1}, {"keys": [{"crv": "Ed25519"}]}]
    for wrong in cases:
        with pytest.raises(SealRefusedError):
            seals.key_set(wrong)
