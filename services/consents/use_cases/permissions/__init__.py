"""Permissions, what may be said to whom: facts applied, people evaluated, records built and published.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api`, `consumers`, `commands` and `app` import it.
"""
