"""Breaches, deliveries that were sent after a ban applied.

Routers: a request in, one use case, an answer out.
Imports `use_cases` and `model`, never `store`; `app` imports it.
"""
