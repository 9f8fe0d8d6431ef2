"""The signed proof document of a decision, and the public keys by which anybody can verify it."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel

from kielto.proof import Proof, SignedHead
from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Ident, Reader, decision_asked
from services.consents.api.decision_log.page import CONTENT_SECURITY_POLICY, page
from services.consents.api.problems import answered
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.prove import newest_head, prove, public_keys


class KeySetBody(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


_MOST_LEAVES = 2**53 - 1
Format = Annotated[Literal["json", "html"] | None, Query(description="Default: as the Accept header asks.")]
_BOTH: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The document, signed."}
}


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["proof"])

    @routes.get("/decisions/{ident}/proof", response_model=Proof, responses=_BOTH)
    async def proof(
        ident: Ident,
        caller: Reader,
        format: Format = None,  # noqa: A002 - its name in the URL
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Response:
        """What was said, when each system had it, and that it stands in the signed log: a document that
        `python -m kielto.proof verify` checks without us. A company's token gets its own part. 409 `not-sealed` until
        the decision's batch is sealed."""
        with answered(context.settings.seal_seconds):
            found = await prove(context, decision_asked(context, caller, ident), caller.party)
        kept_nowhere = {"Cache-Control": "no-store", "Vary": "Accept"}
        if (format or ("html" if _prefers_html(accept) else "json")) == "html":
            headers = {**kept_nowhere, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
            return Response(page(found), headers=headers, media_type="text/html")
        return Response(orjson.dumps(found), headers=kept_nowhere, media_type="application/json")

    @routes.get("/proof-head", response_model=SignedHead)
    async def proof_head(
        caller: Reader,  # noqa: ARG001 - whoever may read
        since: Annotated[
            int | None,
            Query(ge=1, le=_MOST_LEAVES, description="The number of decisions in an earlier head."),
        ] = None,
    ) -> Response:
        """The newest signed head of the log of all decisions, and proof that its log begins with the earlier one of
        `since` decisions. Keep an answer, ask again later with its size: `python -m kielto.proof extends` checks that
        nothing that stood in the log was changed or taken out, without us. A head names nobody."""
        with answered(context.settings.seal_seconds):
            found = await newest_head(context, since)
        return Response(
            orjson.dumps(found), headers={"Cache-Control": "no-store"}, media_type="application/json"
        )

    @routes.get("/proof-keys", response_model=KeySetBody)
    async def proof_keys() -> KeySetBody:
        """Every public key by which heads and documents were ever signed. Needs no token. Compare them once with what
        the data protection officer holds: keys that come with the document prove nothing."""
        return KeySetBody(keys=await public_keys(context))

    return routes


def _prefers_html(accept: str) -> bool:
    """A browser names text/html and not JSON."""
    return "text/html" in accept and "application/json" not in accept
