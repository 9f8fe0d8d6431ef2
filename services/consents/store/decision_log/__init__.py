"""The signed log in the database: commitments, leaves, tree nodes and signed heads (RFC 9162).

All SQL about them, in named constants; each function works in its caller's transaction.
May import `model` and `kielto`, but not `kielto.subscriber`; `use_cases`, `projections` and `app` may import it.
"""
