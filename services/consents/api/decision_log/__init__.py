"""Routes about the signed log of decisions: proof documents, public keys, tree heads.

Routers: a request in, one use case, an answer out.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
