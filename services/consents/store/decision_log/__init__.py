"""The tamper-evident log of decisions: append, verify, prove (Merkle tree as in RFC 9162).

All its SQL, as named constants above the functions that run them.
Imports `model`; only `use_cases` and `projections` import it.
"""
