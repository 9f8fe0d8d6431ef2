"""Erasure of a customer (GDPR article 17), and again after a backup is restored.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api` and `app` import it.
"""
