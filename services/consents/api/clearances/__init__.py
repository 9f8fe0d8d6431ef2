"""Clearances, the answer to a list of questions at a moment, recorded before it is given.

Routers: a request in, one use case, an answer out.
Imports `use_cases` and `model`, never `store`; `app` imports it.
"""
