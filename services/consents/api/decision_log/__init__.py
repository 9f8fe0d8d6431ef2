"""The tamper-evident log of decisions: append, verify, prove (Merkle tree as in RFC 9162).

Routers: a request in, one use case, an answer out.
Imports `use_cases` and `model`, never `store`; `app` imports it.
"""
