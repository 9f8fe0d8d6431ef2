"""HTTP routes about campaigns.

Routers: a request in, one use case, an answer out.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
