"""The signed proof of one decision and the signed head of the log, and their verification with the public keys.

python -m kielto.proof verify FILE --jwks FILE                  exit status 0: it holds; 1: it does not; 2: wrong usage
python -m kielto.proof extends FILE --since FILE --jwks FILE    the same: the later log begins with the earlier one

It needs no database and no network. The keys are those of `GET /consents/proof-keys`. Get them from somebody whom you
trust: keys that come together with a document prove nothing.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from kielto import merkle, seals
from kielto.seals import Head, Keys, SealRefusedError

_MAX_BYTES = 8 * 1024 * 1024

Result = TypeVar("Result")
Part = TypeVar("Part", bound=BaseModel)
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ProofSubject(_Part):
    """Whom the decision is about, as far as the reader may know; null if only a hash is kept."""

    kind: str
    customer: str | None


class ProofPlace(_Part):
    """The position on Kafka of a record that shows the decision."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    version: str
    published_at: Instant


class System(_Part):
    """One subscriber. `applied_at`: the broker's time of the acknowledgement that covers all records."""

    subscriber: str
    name: str
    party: str
    stage: str
    records: int
    applied: int
    applied_at: Instant | None
    deadline: Instant


class Document(_Part):
    """`decision` is what was sealed; whom it names, and what it lifts, as HMAC-SHA256(salt, text).

    The commitment is SHA-256(salt ‖ RFC 8785 of `decision`), the leaf SHA-256(0 ‖ commitment) (RFC 9162).
    """

    kind: Annotated[str, StringConstraints(pattern="^kielto-proof/1$")]
    made_at: Instant
    made_for: str = Field(description="`group`, or the company that this document was made for.")
    decision: dict[str, Any]
    in_words: str
    subject: ProofSubject
    lifts: list[str] = Field(description="The lifted decisions, by id or by the company's references.")
    salt: Hex32
    leaf: int
    inclusion: list[Hex32] = Field(max_length=64)
    head: str = Field(description="The signed tree head (JWS).")
    systems: list[System]
    places: list[ProofPlace] = Field(description="The first positions, at most 100.")
    places_in_all: int


class Proof(_Part):
    """`signature` is a JWS with detached payload: the RFC 8785 form of `document`."""

    document: Document
    signature: str


class SignedHead(_Part):
    """The newest head of the log (JWS). `consistency` proves that its tree begins with that of `since` leaves
    (RFC 9162, 2.1.4); null and empty when nobody asked.
    """

    head: str
    since: int | None
    consistency: list[Hex32] = Field(max_length=64)


def extends(earlier: bytes | str, later: bytes | str, keys: Keys) -> tuple[Head, Head]:
    """Both heads, if the later answer proves that its log begins with the whole earlier log. Raises SealRefusedError.

    Readers who compare their heads with those of others also see that all are shown the same log.
    """
    old = _of("the earlier head", lambda: seals.read_head(_read(earlier, SignedHead).head, keys))
    told = _of("the later head", lambda: _read(later, SignedHead))
    new = _of("the later head", lambda: seals.read_head(told.head, keys))
    roots = bytes.fromhex(old.root), bytes.fromhex(new.root)
    path = [bytes.fromhex(hash_) for hash_ in told.consistency]
    if told.since != old.size:
        raise SealRefusedError(f"since: must be the earlier head's size, {old.size}")
    if not merkle.consistent(old.size, roots[0], new.size, roots[1], path):
        raise SealRefusedError("the later log does not begin with the earlier one")
    return old, new


def verify(text: bytes | str, keys: Keys) -> tuple[Document, Head]:
    """The verified document and the head of its log. Raises SealRefusedError with the part that does not hold."""
    proof = _of("the document", lambda: _read(text, Proof))
    document = seals.parse(text)["document"]
    _of("the document", lambda: seals.opened(seals.attached(proof.signature, document), keys, seals.PROOF))
    head = _of("the tree head", lambda: seals.read_head(proof.document.head, keys))
    _sealed(document, proof.document, head)
    return proof.document, head


def _read(text: bytes | str, kind: type[Part]) -> Part:
    if len(text) > _MAX_BYTES:
        raise SealRefusedError(f"must have at most {_MAX_BYTES} bytes")
    try:
        return kind.model_validate(seals.parse(text))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SealRefusedError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise SealRefusedError("must be JSON without repeated names and fractions") from None


def _of(name: str, work: Callable[[], Result]) -> Result:
    """Do `work`, and put the name of the part before its error."""
    try:
        return work()
    except SealRefusedError as error:
        raise SealRefusedError(f"{name}: {error}") from None


def _sealed(raw: dict[str, Any], document: Document, head: Head) -> None:
    salt, said = bytes.fromhex(document.salt), raw["decision"]
    leaf = merkle.leaf_hash(seals.commitment(salt, said))
    path = [bytes.fromhex(hash_) for hash_ in document.inclusion]
    if not merkle.included(leaf, document.leaf, head.size, path, bytes.fromhex(head.root)):
        raise SealRefusedError("decision: differs from the one that was sealed at this leaf")
    customer = document.subject.customer
    prefix = "c:" if document.made_for == "group" else f"i:{document.made_for}:"
    if customer is not None and seals.blinded(salt, prefix + customer) != said.get("subject"):
        raise SealRefusedError("subject: differs from the subject of the sealed decision")
    lifted = sorted(seals.blinded(salt, lift) for lift in document.lifts)
    if document.made_for == "group" and lifted != said.get("lifts"):
        raise SealRefusedError("lifts: differ from those of the sealed decision")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kielto.proof", description="Verify a proof of the log of decisions."
    )
    verbs = parser.add_subparsers(required=True)
    checks = verbs.add_parser("verify", help="check a proof document")
    grows = verbs.add_parser("extends", help="check that a later head of the log begins with an earlier one")
    for verb, tell in ((checks, _tell_document), (grows, _tell_heads)):
        verb.add_argument("file", type=Path)
        verb.add_argument(
            "--jwks", type=Path, required=True, help="a file with the public keys that you trust"
        )
        verb.set_defaults(tell=tell)
    grows.add_argument("--since", type=Path, required=True, help="the file with the earlier answer")
    options = parser.parse_args(arguments)
    try:
        print(options.tell(options, seals.key_set(seals.parse(options.jwks.read_bytes()))))
    except OSError as error:
        print(f"{error.filename}: cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:  # SealRefusedError is one
        print(f"does not hold: {error}", file=sys.stderr)
        return 1
    return 0


def _tell_document(options: argparse.Namespace, keys: Keys) -> str:
    document, head = verify(options.file.read_bytes(), keys)
    said = document.decision
    lines = [
        f"holds: decision {said.get('id')}: {document.in_words}",
        f"  received {said.get('received_at')}, sealed as leaf {document.leaf} by {head.signed_at}",
    ]
    for system in document.systems:
        since = f" since {system.applied_at}" if system.applied_at else f", due {system.deadline}"
        lines.append(f"  {system.subscriber} ({system.party}): {system.stage}{since}")
    return "\n".join(lines)


def _tell_heads(options: argparse.Namespace, keys: Keys) -> str:
    old, new = extends(options.since.read_bytes(), options.file.read_bytes(), keys)
    return (
        f"holds: the log of {new.size} decisions, signed {new.signed_at} in epoch {new.epoch},\n"
        f"  begins with the one of {old.size}, signed {old.signed_at} in epoch {old.epoch}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
