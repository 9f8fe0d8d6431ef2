"""The tamper-evident log of decisions: append, verify, prove (Merkle tree as in RFC 9162).

One use case a module; it owns the transaction.
Imports `store` and `model`; `api`, `consumers`, `commands` and `app` import it.
"""
