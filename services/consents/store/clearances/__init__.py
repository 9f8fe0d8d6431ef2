"""Clearances, the answer to a list of questions at a moment, recorded before it is given.

All its SQL, as named constants above the functions that run them.
Imports `model`; only `use_cases` and `projections` import it.
"""
