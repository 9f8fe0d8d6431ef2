"""HTTP routes of the register, and the stream of an import's rows and results.

Routers: a request in, one use case, an answer out.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
