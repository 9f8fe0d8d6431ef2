"""What customers counts; nothing that names a person."""

from prometheus_client import Counter

IMPORTED_ROWS = Counter(
    "kielto_customers_imported_rows_total", "Rows of imports by what became of them", ["company", "status"]
)
REFUSED_IDENTIFIERS = Counter(
    "kielto_customers_refused_identifiers_total",
    "Refused rows and requests that name somebody by an identity code or business id",
    ["company"],
)


def count_refused(company: str) -> None:
    REFUSED_IDENTIFIERS.labels(company).inc()
