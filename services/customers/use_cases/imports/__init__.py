"""Imports of a company's customers, and the queue of rows that could not be read.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api` and `app` import it.
"""
