"""Where a decision has arrived: acknowledgements, whereabouts, overdue subscribers, reconciliation.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api`, `consumers`, `commands` and `app` import it.
"""
