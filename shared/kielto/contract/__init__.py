"""The contract as documents: JSON Schemas, AsyncAPI, releases, examples.

`python -m kielto.contract` writes them to `docs/contract/`.
Imports `kielto.events`; nothing at run time imports this package.
"""
