"""The published test vectors, and that they are worth publishing: recomputed here from the definitions."""

import contextlib
import hashlib
import itertools
import json
from importlib import resources
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from kielto.events.base import VersionText
from kielto.events.digests import InvalidContactPointError, check_of, digest, digest_of, normalise, point_of
from kielto.events.emails import written
from kielto.events.versions import Version
from kielto.events.words import PointKind
from kielto.kafka import partition_of


def vectors(name: str) -> Any:
    return json.loads(resources.files("kielto.events").joinpath("vectors", f"{name}.json").read_text("utf-8"))


def hmac_by_hand(key: bytes, message: bytes) -> str:
    """RFC 2104 with SHA-256, from the hash alone."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in padded) + inner).hexdigest()


def siv_by_hand(key: bytes, block: bytes) -> str:
    """RFC 5297 for one block and no associated data, from AES-CMAC and AES-CTR."""

    def cmac(message: bytes) -> bytes:
        mac = CMAC(AES(key[: len(key) // 2]))
        mac.update(message)
        return mac.finalize()

    tag = cmac(bytes(a ^ b for a, b in zip(block, cmac(bytes(16)), strict=True)))
    counter = bytearray(tag)
    counter[8] &= 0x7F
    counter[12] &= 0x7F
    stream = Cipher(AES(key[len(key) // 2 :]), modes.CTR(bytes(counter))).encryptor()
    return (tag + stream.update(block)).hex()


@pytest.mark.parametrize("case", vectors("normalisation")["cases"], ids=str)
def test_normalisation(case: dict[str, str]) -> None:
    arguments = (PointKind(case["kind"]), case["value"], case.get("country", "FI"))
    if case["normalised"] is None:
        with pytest.raises(InvalidContactPointError) as caught:
            normalise(*arguments)
        assert str(caught.value).startswith(case["kind"])
        assert len(case["value"]) < 4 or case["value"] not in str(caught.value)
    else:
        assert normalise(*arguments) == case["normalised"]
        assert normalise(PointKind(case["kind"]), case["normalised"]) == case["normalised"]


def test_every_kind_has_spellings_that_meet_and_values_that_are_refused() -> None:
    cases = vectors("normalisation")["cases"]
    for kind in (PointKind.EMAIL, PointKind.PHONE, PointKind.NUMBER):
        results = [c["normalised"] for c in cases if c["kind"] == kind]
        assert None in results
        assert max(results.count(r) for r in results if r) >= 3


@pytest.mark.parametrize("case", vectors("digests")["digests"], ids=str)
def test_digests(case: dict[str, str]) -> None:
    by_hand = hashlib.sha256(f"{case['kind']}\0{case['normalised']}".encode()).hexdigest()
    assert digest(PointKind(case["kind"]), case["normalised"]).hex() == case["digest"] == by_hand
    assert digest_of(PointKind(case["kind"]), case["normalised"]).hex() == case["digest"]


@pytest.mark.parametrize("case", vectors("digests")["points"], ids=str)
def test_points(case: dict[str, str]) -> None:
    key, canonical = bytes.fromhex(case["point_key"]), bytes.fromhex(case["digest"])
    assert point_of(key, canonical) == case["point"] == hmac_by_hand(key, canonical)


@pytest.mark.parametrize("case", vectors("digests")["checks"], ids=str)
def test_check_values_of_point_keys(case: dict[str, str]) -> None:
    assert check_of(bytes.fromhex(case["point_key"])) == case["check"]


@pytest.mark.parametrize("case", vectors("digests")["pairwise"], ids=str)
def test_pairwise_ids(case: dict[str, str]) -> None:
    key, ident = bytes.fromhex(case["id_key"]), UUID(case["uuid"])
    assert AESSIV(key).encrypt(ident.bytes, None).hex() == case["id"] == siv_by_hand(key, ident.bytes)


def test_no_two_of_the_digests_points_and_ids_are_equal() -> None:
    all_of_them = vectors("digests")
    for name, field in (("digests", "digest"), ("points", "point"), ("pairwise", "id")):
        assert len({case[field] for case in all_of_them[name]}) == len(all_of_them[name])


@pytest.mark.parametrize("case", vectors("partitions")["cases"], ids=lambda c: c["key"])
def test_partitions(case: dict[str, Any]) -> None:
    for count, partition in case["partitions"].items():
        assert partition_of(case["key"].encode(), int(count)) == partition
        assert (case["murmur2"] & 0x7FFFFFFF) % int(count) == partition


def test_versions_are_ordered_by_epoch_then_n() -> None:
    cases = vectors("versions")["ascending"]
    parsed = [Version.parse(case["text"]) for case in cases]
    assert parsed == [Version(case["epoch"], case["n"]) for case in cases]
    assert [str(v) for v in parsed] == [case["text"] for case in cases]
    assert all(low < high for low, high in itertools.pairwise(parsed))


@pytest.mark.parametrize("text", vectors("versions")["invalid"])
def test_no_other_text_is_a_version(text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        Version.parse(text)
    with pytest.raises(ValidationError):
        TypeAdapter(VersionText).validate_python(text)


@given(st.text(max_size=60))
def test_parsing_a_version_gives_back_its_text_or_refuses(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert str(Version.parse(text)) == text


TYPED = st.one_of(
    st.text(max_size=330),
    st.builds("{}@{}.fi".format, st.text(max_size=6), st.text(max_size=6)),
    st.builds("{}:{}".format, st.text("kK1- ", max_size=4), st.text(max_size=6)),
    st.text("+0123456789 ()-", max_size=20),
)


@given(st.sampled_from(PointKind), TYPED, st.sampled_from(["FI", "SE", "US", "", "fi", "??"]))
def test_whatever_is_typed_is_normalised_once_and_for_all_or_refused(
    kind: PointKind, value: str, country: str
) -> None:
    try:
        once = normalise(kind, value, country)
    except InvalidContactPointError:
        return
    assert len(digest(kind, once)) == 32
    assert normalise(kind, once, country) == once


@given(st.from_regex(r"\A[a-z0-9]{1,20}\Z"), st.sampled_from(["fi", "äö.fi", "co.uk"]))
def test_case_never_tells_two_mailboxes_apart(local: str, domain: str) -> None:
    spellings = [
        f"{local}@firma.{domain}",
        f"{local}@Firma.{domain}".upper(),
        f" {local.title()}@FIRMA.{domain}",
    ]
    assert len({digest_of(PointKind.EMAIL, s) for s in spellings}) == 1


FOLDED = st.text("sſßẞσςΣiıİI\u0307\u0345ﬁＡa.@xn-", max_size=12)


@given(FOLDED, FOLDED)
def test_folding_an_address_again_changes_nothing(local: str, domain: str) -> None:
    with contextlib.suppress(InvalidContactPointError):
        once = normalise(PointKind.EMAIL, f"{local}@{domain}")
        assert normalise(PointKind.EMAIL, once) == once


@given(st.text("0123456789", min_size=7, max_size=10), st.text("aOlpxe;,#*/.² \n½", min_size=1, max_size=3))
def test_text_in_a_phone_number_never_becomes_digits(number: str, text: str) -> None:
    """The number alone, or nothing: not another one, wherever the text stands."""
    value = f"040{number}{text}5"
    with contextlib.suppress(InvalidContactPointError):
        digits = "".join(c for c in value if c in "0123456789")
        assert normalise(PointKind.PHONE, value) == "+358" + digits.removeprefix("0")
    with contextlib.suppress(InvalidContactPointError):
        assert normalise(PointKind.PHONE, f"040{number}{text}") == "+35840" + number


def test_what_is_kept_to_mail_to_has_the_digest_of_what_was_given() -> None:
    for case in vectors("normalisation")["cases"]:
        if case["kind"] == "email" and case["normalised"]:
            assert normalise(PointKind.EMAIL, written(case["value"])) == case["normalised"]
    assert written(" Äijä.STRAẞE@Example.FI") == "Äijä.straẞe@example.fi"
