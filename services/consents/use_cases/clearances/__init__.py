"""Clearances, the answer to a list of questions at a moment, recorded before it is given.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api`, `consumers`, `commands` and `app` import it.
"""
