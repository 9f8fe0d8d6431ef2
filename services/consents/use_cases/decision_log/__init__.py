"""Append decisions to the signed log, prove one, verify the whole (Merkle tree as in RFC 9162).

A function that takes the context owns its transaction; one that takes a connection works in its caller's.
May import `store`, `model` and `kielto`; `api`, `commands`, `consumers` and `app` may import it.
"""
