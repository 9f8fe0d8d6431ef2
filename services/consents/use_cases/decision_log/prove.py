"""The signed proof of one decision: what was said, when each system had it, and that it is in the signed log."""

from typing import Any
from uuid import UUID

from kielto import merkle, seals
from kielto.errors import KieltoError
from kielto.service.database.pool import Conn
from kielto.service.support.crypto_keys import KeysError
from services.consents.model.ref import Ref
from services.consents.store.decision_log import seals as store
from services.consents.store.decision_log.commitment import instant, statement
from services.consents.store.decisions.decisions import decision_of
from services.consents.store.propagation import whereabouts
from services.consents.use_cases.context import Context, UnknownDecisionError
from services.consents.use_cases.decisions.words import in_words
from services.consents.use_cases.propagation.whereabouts import Location, locate

_PLACES = 100


class NotSealedError(KieltoError):
    """The decision is in no signed batch yet; retry after a few seconds."""


class ProofErasedError(KieltoError):
    """The decision's salt was erased, so it can no longer be proven."""


class LogAlteredError(KieltoError):
    """The decision or the log differs from what was signed."""


class NoSuchHeadError(KieltoError):
    """The log never had so many decisions, or had them before it was restored."""


async def prove(context: Context, decision: UUID, party: str | None) -> dict[str, Any]:
    """A `kielto.proof.Proof` as plain JSON; for a party, its own part.

    Raises UnknownDecisionError, NotSealedError, ProofErasedError, LogAlteredError, KeysError.
    """
    key = context.keys.seal_key
    found = await locate(context, decision, party)
    async with context.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        sealed = await store.sealed(conn, decision)
        families = [family for family in context.group.parties if party in (None, family)]
        places, in_all = await whereabouts.places(conn, decision, families, _PLACES, links=party is None)
        if sealed is None:
            raise UnknownDecisionError
        inclusion = await _inclusion(conn, sealed)
    row, salt = sealed.row, sealed.salt
    assert salt is not None  # _inclusion saw to it
    document = {
        "kind": "kielto-proof/1",
        "made_at": instant(context.clock()),
        "made_for": party or "group",
        "decision": statement(row, salt),
        "in_words": in_words(decision_of({**row, "holding": False}), row["subject_kind"]),
        "subject": {
            "kind": row["subject_kind"],
            "customer": _shown_customer(row["ref"], party),
        },
        "lifts": sorted(context.named(party, lift) for lift in row["lifts"]),
        "salt": salt.hex(),
        **inclusion,
        "systems": [_system(location) for location in found],
        "places": [_place(place) for place in places],
        "places_in_all": in_all,
    }
    return {"document": document, "signature": seals.detached(seals.sign(document, key, seals.PROOF))}


async def newest_head(context: Context, since: int | None) -> dict[str, Any]:
    """A `kielto.proof.SignedHead` as plain JSON. Raises NotSealedError, LogAlteredError, NoSuchHeadError."""
    async with context.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        token, head = await _head(conn)
        if since is None:
            return {"head": token, "since": None, "consistency": []}
        if since > head.size:
            raise NoSuchHeadError
        try:
            path = await store.hashes(conn, merkle.consistency(since, head.size))
            old = merkle.fold(await store.edge(conn, since))
        except LookupError:
            raise LogAlteredError from None
    if not merkle.consistent(since, old, head.size, bytes.fromhex(head.root), path):
        raise LogAlteredError
    return {"head": token, "since": since, "consistency": [hash_.hex() for hash_ in path]}


async def last_head(context: Context) -> str | None:
    """The newest signed head as it is stored; None when nothing is signed yet."""
    return await store.last_head(context.pool)


async def public_keys(context: Context) -> list[dict[str, Any]]:
    """Every public key (JWK) that heads or documents were ever signed by, the current one last."""
    found = await store.keys(context.pool)
    try:
        now = seals.public_key(context.keys.seal_key)
    except KeysError:
        return found
    return found if now in found else [*found, now]


async def _head(conn: Conn) -> tuple[str, seals.Head]:
    if (token := await store.last_head(conn)) is None:
        raise NotSealedError
    try:
        return token, seals.read_head(token, seals.key_set({"keys": await store.keys(conn)}))
    except seals.SealRefusedError:
        raise LogAlteredError from None


async def _inclusion(conn: Conn, sealed: store.Sealed) -> dict[str, Any]:
    """The proof that the decision is in the log, checked first: what does not hold is not signed."""
    if sealed.salt is None:
        raise ProofErasedError
    if sealed.leaf is None or sealed.commitment is None:
        raise NotSealedError
    token, head = await _head(conn)
    try:
        path = await store.hashes(conn, merkle.inclusion(sealed.leaf, head.size))
    except LookupError:
        raise LogAlteredError from None
    leaf = merkle.leaf_hash(seals.commitment(sealed.salt, statement(sealed.row, sealed.salt)))
    if not merkle.included(leaf, sealed.leaf, head.size, path, bytes.fromhex(head.root)):
        raise LogAlteredError
    return {"leaf": sealed.leaf, "inclusion": [hash_.hex() for hash_ in path], "head": token}


def _shown_customer(ref: str, party: str | None) -> str | None:
    """The customer's id as it is committed to; to a company only its own id."""
    named = Ref(ref)
    if party is None:
        return str(named.customer_id) if named.customer_id else None
    whose, ident = named.party_and_id or (None, None)
    return ident if whose == party else None


def _system(location: Location) -> dict[str, Any]:
    at = location.applied_at
    return {
        **dict(location),
        "stage": location.stage.value,
        "applied_at": instant(at) if at else None,
        "deadline": instant(location.deadline),
    }


def _place(place: whereabouts.RecordPlace) -> dict[str, Any]:
    return {
        "topic": place.topic,
        "topic_id": str(place.topic_id),
        "partition": place.partition,
        "offset": place.offset,
        "version": f"{place.epoch}.{place.n}",
        "published_at": instant(place.at),
    }
