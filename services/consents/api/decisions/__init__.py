"""Decisions, what a person said: taken, read, waiting for a customer, held for review, receipts and results.

Routers: a request in, one use case, an answer out.
Imports `use_cases` and `model`, never `store`; `app` imports it.
"""
