"""Decisions, what a person said: taken, read, waiting for a customer, held for review, receipts and results.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api`, `consumers`, `commands` and `app` import it.
"""
