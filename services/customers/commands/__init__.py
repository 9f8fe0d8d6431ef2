"""Commands for operators: `python -m services.customers COMMAND`.

Each reads its arguments, calls use cases, prints, and returns an exit status.
May import `use_cases`, `model` and `kielto`, never `store`; only `app` may import it.
"""
