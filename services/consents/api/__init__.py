"""HTTP routes, one package for each subject; who calls, pages of lists, and the texts of the OpenAPI description.

Routers: a request in, one use case, an answer out.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
