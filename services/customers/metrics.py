"""Metrics of customers. No label names a person."""

from prometheus_client import Counter

IMPORTED_ROWS = Counter(
    "kielto_customers_imported_rows_total", "Rows of imports by outcome.", ["company", "status"]
)
REFUSED_IDENTIFIERS = Counter(
    "kielto_customers_refused_identifiers_total",
    "Refused rows and requests that name a customer by an identity code or business id.",
    ["company"],
)
