"""The register's calls by the names that clients know them by, and the problems that are their own."""

from kielto.service.http.openapi import Operation

_UNKNOWN = "404 unknown-customer"
_GUESSES = "429 too-many-refused-identifiers"

OPERATIONS = {
    "GET /customers": Operation("findCustomer"),
    "POST /customers": Operation("createCustomer", ("409 customer-exists", "413 record-too-large", _GUESSES)),
    "GET /customers/{ident}": Operation("getCustomer", (_UNKNOWN,)),
    "PATCH /customers/{ident}": Operation("changeCustomer", (_UNKNOWN, "413 record-too-large", _GUESSES)),
    "POST /customers/{ident}/customerships/{company}/end": Operation("endCustomership", (_UNKNOWN,)),
    "POST /customers/{ident}/merge": Operation("mergeCustomers", (_UNKNOWN,)),
    "GET /customers/{ident}/unreadable": Operation("listUnreadable", (_UNKNOWN,)),
    "POST /customers/imports": Operation("importCustomers", ("415 unsupported-media-type", _GUESSES)),
    "GET /customers/candidates": Operation("listCandidates"),
    "GET /customers/candidates/contradictions": Operation("listContradictions"),
    "POST /customers/candidates/{one}/{other}/apart": Operation("keepApart", (_UNKNOWN,)),
}
