"""Commands for operators: `python -m services.customers COMMAND`.

Each reads its arguments, calls use cases, prints, and returns an exit code.
Imports `use_cases` and `model`; `app` imports it.
"""
