"""Bearer tokens: JSON Web Tokens (RFC 7519) of any issuer with a JWKS, verified by joserfc.

Claims: `sub`, `roles` (list: operator, desk, dpo, campaigns, register), `company` (a company's id; absent
means the whole group). A caller with a company may act only for it.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Request


@dataclass(frozen=True, slots=True)
class Caller:
    subject: str
    roles: frozenset[str]
    company: str | None

    def must_act_for(self, company: str | None) -> None:
        """Raises Problem 403 `foreign-company` unless the caller may act for `company` (None: the whole
        group).
        """
        raise NotImplementedError


class Verifier:
    """Verifies tokens against the issuer's key set, cached; an unknown key id fetches it again, at most each
    30 s.
    """

    def __init__(self, jwks: str, issuer: str, audience: str) -> None:
        raise NotImplementedError

    async def verify(self, token: str) -> Caller:
        """Raises Problem 401 `unauthorised`; the detail names the rule, never the token."""
        raise NotImplementedError


def require(*roles: str) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """A FastAPI dependency: the caller, who has at least one of `roles` (none named: any caller).

    `caller: Annotated[Caller, Depends(require("desk"))]`. Raises Problem 401 or 403 `missing-role`.
    """
    raise NotImplementedError
