"""Where a decision has arrived: acknowledgements, whereabouts, overdue subscribers, reconciliation.

Routers: a request in, one use case, an answer out.
Imports `use_cases` and `model`, never `store`; `app` imports it.
"""
