"""What a customer may be told, and why."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from kielto.events.base import Ident
from kielto.events.words import Act, Channel, Mode, PointKind, Purpose, Reach
from kielto.service.http.auth import Caller
from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Ident as Asked
from services.consents.api.callers import Prover, Reader, customer_asked
from services.consents.api.problems import answered, invalid
from services.consents.model.decisions import RecordedDecision
from services.consents.model.ruling import CellPermission, RulingReason
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.explain import Explanation, explain
from services.consents.use_cases.permissions.portions import SharedAddresses, list_shared_addresses


class PermissionBody(BaseModel):
    company: str
    point: str = Field(description="The stored address: our id; to a company its own.")
    kind: PointKind
    channel: Channel
    purpose: Purpose
    partner: str | None
    mode: Mode | None
    product_groups: list[str] | None = Field(description="Only these; null means all.")


class VerdictBody(PermissionBody):
    """`rule` is the entry of the rule file that decided, `section` the law that it is from."""

    allowed: bool
    reason: RulingReason
    rule: str
    section: str
    decisions: list[str] = Field(description="The decisions that decided: ids, or the company's references.")


class DecisionBody(BaseModel):
    id: str = Field(description="Its id, or the company's reference.")
    act: Act
    reach: Reach
    said_at: datetime
    received_at: datetime
    restored: bool = Field(description="Only the record that listed it is left, after a restore.")
    widened: list[str] = Field(description="Rules that it broke; it was read in its broadest sense.")
    by_link: bool | None = Field(
        default=None,
        description="It is about another customer who may be the same person; shown to the group alone.",
    )
    suppressed: bool | None = Field(
        default=None,
        description="It is of somebody who was erased, by whose number, address or code this customer is known; told "
        "to the group's role alone.",
    )


class PermissionsBody(BaseModel):
    """What is allowed; what is not listed is denied. `restrictions`: in force, what a lifting has to cite."""

    customer: str = Field(description="Our id; to a company its own.")
    permissions: list[PermissionBody]
    restrictions: list[DecisionBody]


class ExplanationBody(BaseModel):
    customer: str = Field(description="Our id; to a company its own.")
    unreadable: bool = Field(
        description="A newer record of the customer cannot be read, so everything is denied."
    )
    verdicts: list[VerdictBody]
    decisions: list[DecisionBody]
    restrictions: list[str]


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents")

    @routes.get("/customers/{ident}/permissions", response_model=PermissionsBody, tags=["permissions"])
    async def permissions(ident: Asked, caller: Reader) -> PermissionsBody:
        """What is allowed now. A company's token gives its own id of the customer and sees its own permissions."""
        customer = customer_asked(context, caller, ident)
        with answered():
            found = await explain(context, customer, caller.company)
        shown = _Shown(context, caller, found)
        return PermissionsBody(
            customer=shown.name(customer),
            permissions=[PermissionBody(**shown.cell(p)) for p in found.cells if p.ruling.allowed],
            restrictions=[shown.decision(found.decisions[r]) for r in sorted(found.restrictions)],
        )

    @routes.get("/customers/{ident}/explanation", response_model=ExplanationBody, tags=["permissions"])
    async def explanation(
        ident: Asked,
        caller: Reader,
        company: Annotated[Ident | None, Query()] = None,
        channel: Annotated[Channel | None, Query()] = None,
    ) -> ExplanationBody:
        """Every permission and every denial, with the rule, its section and the decisions that decided."""
        if company is not None:
            caller.must_act_for(company)
            if company not in context.group.company_ids:
                raise invalid("company", "must be a company of the group")
        customer = customer_asked(context, caller, ident)
        with answered():
            found = await explain(context, customer, company or caller.company, channel)
        shown = _Shown(context, caller, found)
        return ExplanationBody(
            customer=shown.name(customer),
            unreadable=found.permissions.unreadable,
            verdicts=[shown.verdict(p) for p in found.cells],
            decisions=[shown.decision(d) for _, d in sorted(found.decisions.items())],
            restrictions=[shown.name(r) for r in sorted(found.restrictions)],
        )

    @routes.get("/shared-addresses", response_model=SharedAddresses, tags=["customers"])
    async def get(caller: Prover) -> SharedAddresses:
        """E-mail addresses and phone numbers that more than 100 customers have. A decision about one is taken at once
        and takes effect in portions. Most are placeholders of a source system: have them corrected there."""
        caller.must_act_for(None)
        return await list_shared_addresses(context)

    return routes


class _Shown:
    """Names decisions and addresses as the caller knows them: a company by its own ids."""

    def __init__(self, context: Context, caller: Caller, found: Explanation) -> None:
        self._party, self.name = caller.party, partial(context.named, caller.party)
        self._links = found.permissions.by_link
        self._kinds = {p.id: p.kind for p in found.permissions.person.root.points}

    def decision(self, decision: RecordedDecision) -> DecisionBody:
        return DecisionBody(
            id=self.name(decision.id),
            act=decision.act,
            reach=decision.reach,
            said_at=decision.said_at,
            received_at=decision.received_at,
            restored=decision.spared is not None,
            widened=list(decision.widened),
            by_link=None if self._party else decision.id in self._links,
            suppressed=None if self._party else decision.suppressed is not None,
        )

    def verdict(self, permission: CellPermission) -> VerdictBody:
        decisions = [self.name(d) for d in permission.ruling.decisions]
        return VerdictBody(**permission.ruling._asdict() | self.cell(permission) | {"decisions": decisions})

    def cell(self, permission: CellPermission) -> dict[str, object]:
        cell, ruling = permission
        return cell._asdict() | {
            "point": self.name(cell.point),
            "kind": self._kinds[cell.point],
            "product_groups": None if ruling.product_groups is None else sorted(ruling.product_groups),
        }
