"""Bearer tokens that say in clear whose they are; what a real token's signature must be is tested elsewhere."""

from kielto.service.http.auth import Caller, Verifier
from kielto.service.http.problem import ProblemError


class PlainTokens(Verifier):
    """Take `desk+dpo@kauppa` for a token with these roles for that company; refuse `bad` and a token without roles.

    `subject` names the caller; `{token}` in it stands for the token.
    """

    def __init__(self, subject: str = "someone") -> None:
        self._subject = subject

    async def verify(self, token: str) -> Caller:
        roles, _, company = token.partition("@")
        if roles in ("", "bad"):
            raise ProblemError(401, "unauthorised", "No")
        return Caller(self._subject.format(token=token), frozenset(roles.split("+")), company or None)


def as_(token: str, **more: str) -> dict[str, str]:
    """The headers of a request with this token, and `more`."""
    return {"Authorization": f"Bearer {token}", **more}


class SetClock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
