"""Permissions, what may be said to whom: facts applied, people evaluated, records built and published.

Routers: a request in, one use case, an answer out.
Imports `use_cases` and `model`, never `store`; `app` imports it.
"""
