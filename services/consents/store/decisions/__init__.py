"""Decisions in the database: as recorded, waiting, held, suppressed, restored; and their results.

All SQL about them, in named constants; each function works in its caller's transaction.
May import `model` and `kielto`, but not `kielto.subscriber`; `use_cases`, `projections` and `app` may import it.
"""
