"""Routes about clearances: ask for one before a campaign is sent, and look one up later.

Routers: a request in, one use case, an answer out.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
