"""The register's customers: create, read, update, register by a company's number, restore.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api` and `app` import it.
"""
