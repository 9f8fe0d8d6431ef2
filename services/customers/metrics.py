"""What customers counts; nothing that names a person."""

from prometheus_client import Counter

IMPORTED_ROWS = Counter(
    "kielto_customers_imported_rows_total", "Rows of imports by what became of them", ["company", "status"]
)
