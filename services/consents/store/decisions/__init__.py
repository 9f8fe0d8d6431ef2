"""Decisions, what a person said: taken, read, waiting for a customer, held for review, receipts and results.

All its SQL, as named constants above the functions that run them.
Imports `model`; only `use_cases` and `projections` import it.
"""
