"""The operation ids of the routes, by which clients know them, and the problems that each may answer."""

from kielto.service.http.openapi import Operation

_DECISION, _CUSTOMER = "404 unknown-decision", "404 unknown-customer"
_SUBSCRIBER, _BREACH = "404 unknown-subscriber", "404 unknown-breach"

OPERATIONS = {
    "POST /consents/decisions": Operation(
        "recordDecision", (_CUSTOMER, "409 subject-not-known-yet", "413 record-too-large")
    ),
    "POST /consents/held/void": Operation("voidDecisions"),
    "GET /consents/held": Operation("listHeld"),
    "POST /consents/held/release": Operation("releaseHeld"),
    "GET /consents/decisions/{ident}": Operation("getDecision", (_DECISION,)),
    "GET /consents/decisions/{ident}/whereabouts": Operation("getWhereabouts", (_DECISION,)),
    "GET /consents/decisions/{ident}/proof": Operation(
        "getProof", (_DECISION, "409 not-sealed", "409 seal-broken", "410 erased", "503 no-seal-key")
    ),
    "GET /consents/proof-head": Operation("getProofHead", ("404 no-such-head", "409 not-sealed")),
    "GET /consents/proof-keys": Operation("getProofKeys"),
    "GET /consents/proof/live": Operation(
        "watchDecisions", ("429 too-many-watchers", "503 too-many-watchers")
    ),
    "GET /consents/proof/overdue": Operation("listOverdue"),
    "GET /consents/proof/propagation": Operation("getPropagation"),
    "GET /consents/customers/{ident}/permissions": Operation("getPermissions", (_CUSTOMER,)),
    "GET /consents/customers/{ident}/explanation": Operation("explainPermissions", (_CUSTOMER,)),
    "POST /consents/clearances": Operation(
        "clearRecipients",
        ("403 company-needed", "409 subscriber-overdue", "409 unreadable-decision", "503 not-primary"),
    ),
    "POST /consents/clearances/search": Operation("searchClearances"),
    "GET /consents/shared-addresses": Operation("listSharedAddresses"),
    "GET /consents/breaches": Operation("listBreaches"),
    "GET /consents/breaches/{ident}": Operation("getBreach", (_BREACH,)),
    "POST /consents/breaches/{ident}/close": Operation("closeBreach", (_BREACH,)),
    "GET /consents/reconciliation": Operation("getReconciliation"),
    "GET /consents/results": Operation("listResults", ("403 company-needed",)),
    "GET /consents/subscribers": Operation("listSubscribers"),
    "GET /consents/subscribers/{ident}": Operation("getSubscriber", (_SUBSCRIBER,)),
    "GET /consents/subscribers/{ident}/overdue": Operation("listOverdueOfSubscriber", (_SUBSCRIBER,)),
}
