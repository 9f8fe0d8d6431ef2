"""Breaches, deliveries that were sent after a ban applied.

All its SQL, as named constants above the functions that run them.
Imports `model`; only `use_cases` and `projections` import it.
"""
