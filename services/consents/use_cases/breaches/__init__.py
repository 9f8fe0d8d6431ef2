"""Breaches, deliveries that were sent after a ban applied.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api`, `consumers`, `commands` and `app` import it.
"""
