"""Records that may be one person: links, candidates, merges, and merges again after a restore.

One use case a module; it owns the transaction.
Imports `store` and `model`; `api` and `app` import it.
"""
