"""Where a decision has arrived: acknowledgements, whereabouts, overdue subscribers, reconciliation.

All its SQL, as named constants above the functions that run them.
Imports `model`; only `use_cases` and `projections` import it.
"""
