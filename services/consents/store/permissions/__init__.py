"""Permissions, what may be said to whom: facts applied, people evaluated, records built and published.

All its SQL, as named constants above the functions that run them.
Imports `model`; only `use_cases` and `projections` import it.
"""
