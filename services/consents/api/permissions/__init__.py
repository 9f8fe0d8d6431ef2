"""Routes about permissions: what a customer may be told and why, and addresses that many customers share.

Routers: a request in, one use case, an answer out.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
