"""Bearer tokens: JSON Web Tokens (RFC 7519) of any issuer with a key set (RFC 7517), verified by joserfc.

Claims: `sub`, `roles` (list: operator, desk, dpo, campaigns, register), and one of `company` (a company's id) and
`group` (true: the caller acts for the whole group). A caller with a company may act only for it, while it is of the
group. A token with neither, or both, is refused: what an issuer forgets to say must not open everything.
"""

import asyncio
import json
import math
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
from fastapi import Request
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import Key

from kielto.clock import utc_now
from kielto.events.party import Party
from kielto.service.http.key_set import ALGORITHMS, KeySet
from kielto.service.http.problem import ProblemError, unavailable
from kielto.service.support.limits import FIXED

log = structlog.get_logger(__name__)

_LEEWAY_SECONDS = 10
_REFETCH_SECONDS = 30.0
_OLD_SECONDS = 300.0
_FETCH_SECONDS = 5.0
_TOKENS_KEPT, _TOKEN_SECONDS = 1000, 60.0
_SUBJECT = 255  # characters, as OpenID Connect has it


@dataclass(frozen=True, slots=True)
class Caller:
    subject: str
    roles: frozenset[str]
    company: str | None
    """None: the whole group."""

    @property
    def party(self) -> Party | None:
        """None: the whole group."""
        return Party.company(self.company) if self.company else None

    def must_act_for(self, company: str | None) -> None:
        """Raises ProblemError 403 `foreign-company` unless the caller may act for `company` (None: the whole
        group).
        """
        if self.company is not None and self.company != company:
            raise ProblemError(403, "foreign-company", "The token is for another company")


class Verifier:
    """Verifies tokens against the issuer's cached key set. The set is fetched again for an unknown key id and every
    five minutes, so that a withdrawn key stops working, unless the issuer is away. One fetch at a time, at most every
    30 s; only a caller with an unknown key waits for it.
    """

    def __init__(self, jwks: str, issuer: str, audience: str, companies: Collection[str]) -> None:
        """`companies`: those of the group."""
        self._jwks, self._companies = jwks, frozenset(companies)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._keys: KeySet | None = None
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._told: set[tuple[str, str]] = set()
        self._known_tokens: dict[str, tuple[Caller, float]] = {}
        """A signature costs as much to check as half of what a request does in the database."""

    async def verify(self, token: str) -> Caller:
        """Raises ProblemError 401 `unauthorised`, whose detail names the rule, never the token; 403 `unknown-company`
        for a company that is not, or no longer, of the group: nothing behind here knows what to make of one; 403
        `company-or-group-needed`.
        """
        if len(token) > FIXED.token_bytes:
            raise _unauthorised("the token is too long")
        known, until = self._known_tokens.get(token, (None, 0.0))
        if known is not None and utc_now().timestamp() < until:
            return known
        claims = await self._read(token)
        caller = _caller(claims)
        if caller.company is not None and caller.company not in self._companies:
            raise ProblemError(403, "unknown-company", "The token names a company that is not in the group")
        if len(self._known_tokens) >= _TOKENS_KEPT:
            self._known_tokens.clear()
        self._known_tokens[token] = (caller, min(claims["exp"], utc_now().timestamp() + _TOKEN_SECONDS))
        return caller

    async def _read(self, token: str) -> dict[str, Any]:
        """The token's claims, of whoever signed it. Raises ProblemError 401."""
        try:
            header = jws.extract_compact(token.encode()).headers()
            key_id, algorithm = header.get("kid"), header.get("alg")
        except Exception as error:  # noqa: BLE001 - any error of the parser means a wrong token
            raise _refused(error) from None
        if key_id is not None and not isinstance(key_id, str):
            raise _unauthorised("kid: must be text or absent")
        keys = await self._key_set(key_id)
        try:
            claims = _decoded(token, keys.candidates(key_id, algorithm))
            if claims is None and key_id is None and (fetching := self._refetch()) is not None:
                await asyncio.shield(fetching)  # it may be of a key that is newer than the set
                claims = _decoded(token, (self._keys or keys).candidates(None, algorithm))
            if claims is None:
                raise BadSignatureError
            if not all(math.isfinite(claims[name]) for name in ("exp", "nbf", "iat") if name in claims):
                raise _unauthorised("exp, nbf, iat: must be finite numbers")
            self._claims.validate(claims)
        except ProblemError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise _refused(error) from None
        return claims

    async def _key_set(self, key_id: str | None) -> KeySet:
        known = self._known(key_id)
        fetching = None if known and not self._old() else self._refetch()
        if fetching is not None and not known:
            await asyncio.shield(fetching)  # a caller who leaves does not end it for the others
        if self._keys is None:
            # Not 401, which callers take as final: a good token is refused because we lag.
            raise unavailable(
                "issuer-unavailable", "The issuer's keys are not available; retry later", seconds=2
            )
        return self._keys

    def _refetch(self) -> "asyncio.Task[None] | None":
        """The fetch that is under way, or a new one; None: too soon after the last."""
        if self._fetching is None or self._fetching.done():
            if self._keys is not None and time.monotonic() - self._tried < _REFETCH_SECONDS:
                return None
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        began = self._tried = time.monotonic()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                keys = KeySet(await self._load())
        except (OSError, httpx.HTTPError, ValueError, RecursionError) as error:
            log.warning("issuer.keys_not_fetched", error=type(error).__name__)
        else:
            self._keys, self._fetched = keys, began
            self._tell(keys)
            self._known_tokens.clear()  # some may be of a key that was withdrawn
        finally:
            asyncio.get_running_loop().call_later(_OLD_SECONDS, self._renew)

    def _tell(self, keys: KeySet) -> None:
        """Once of each: the set is fetched every few minutes."""
        for key, why in keys.unusable:
            if (key, why) not in self._told and len(self._told) < _TOKENS_KEPT:
                self._told.add((key, why))
                log.warning("issuer.key_unusable", key=key, why=why)
        if not keys.keys:
            log.warning("issuer.no_usable_key")

    def _renew(self) -> None:
        """By time also, not only when somebody comes: after a quiet hour the first caller is served from a set that
        is not an hour old.
        """
        if self._old():
            self._refetch()

    def _old(self) -> bool:
        return time.monotonic() - self._fetched >= _OLD_SECONDS

    def _known(self, key_id: str | None) -> bool:
        return self._keys is not None and (key_id is None or self._keys.knows(key_id))

    async def _load(self) -> Any:
        if self._jwks.startswith(("https://", "http://")):
            async with httpx.AsyncClient(timeout=_FETCH_SECONDS) as client:
                return (await client.get(self._jwks)).raise_for_status().json()
        return json.loads(await asyncio.to_thread(Path(self._jwks).read_bytes))


class RoleCheck:
    """A FastAPI dependency: the caller, who has at least one of `roles` (none named: any caller); with `group` one of
    the whole group.

    `caller: Annotated[Caller, Depends(RoleCheck("desk"))]`. Raises ProblemError 401, or 403 `missing-role`,
    `foreign-company`.
    """

    def __init__(self, *roles: str, group: bool = False) -> None:
        self.roles, self.group = roles, group

    async def __call__(self, request: Request) -> Caller:
        found = await identify(request)
        if self.roles and not found.roles & set(self.roles):
            raise ProblemError(
                403, "missing-role", f"The token has none of the roles {', '.join(self.roles)}"
            )
        if self.group and found.company is not None:
            raise ProblemError(403, "foreign-company", "Only callers for the whole group may do this")
        return found


async def identify(request: Request) -> Caller:
    """The caller of the request. Raises ProblemError 401."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is None:
        given = request.headers.getlist("authorization")
        if len(given) > 1:  # a gateway may have looked at another one
            raise _unauthorised("send one Authorization header")
        scheme, _, token = "".join(given).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorised("send a bearer token")
        verifier: Verifier = request.app.state.verifier
        known = request.state.caller = await verifier.verify(token.strip())
    return known


def _caller(claims: dict[str, Any]) -> Caller:
    roles, company = claims.get("roles", []), claims.get("company")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _unauthorised("roles: must be a list of names")
    if company is not None and not (isinstance(company, str) and company):
        raise _unauthorised("company: must be an id or absent")
    subject = claims["sub"]
    if not (isinstance(subject, str) and 0 < len(subject) <= _SUBJECT and subject.isprintable()):
        raise _unauthorised(f"sub: must be text of 1 to {_SUBJECT} printable characters")
    if (company is not None) is (claims.get("group") is True):
        raise ProblemError(
            403,
            "company-or-group-needed",
            "The token must have either company or group",
            "Let the issuer add `company` (an id), or `group`: true for a caller for the whole group.",
        )
    return Caller(subject, frozenset(roles), company)


def _decoded(token: str, keys: Iterable[Key]) -> dict[str, Any] | None:
    """The decoded token; None when none of the keys signed it. Raises what joserfc finds wrong otherwise."""
    for key in keys:
        try:
            return jwt.decode(token, key, algorithms=ALGORITHMS).claims
        except BadSignatureError:
            continue
    return None


def _refused(error: Exception) -> ProblemError:
    rule = getattr(error, "error", "") or type(error).__name__
    return _unauthorised(f"the token was refused: {rule}")


def _unauthorised(detail: str) -> ProblemError:
    return ProblemError(401, "unauthorised", "Not authorised", detail, headers={"WWW-Authenticate": "Bearer"})
