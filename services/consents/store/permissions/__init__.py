"""What permissions are computed from, in the database: customers' facts, locks, owed records.

All SQL about them, in named constants; each function works in its caller's transaction.
May import `model` and `kielto`, but not `kielto.subscriber`; `use_cases`, `projections` and `app` may import it.
"""
