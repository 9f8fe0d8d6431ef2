"""The contract as documents: JSON Schemas, AsyncAPI, access rights, releases, examples.

`python -m kielto.contract` writes them to `docs/contract/`; no service needs this package to run.
May import `kielto.events`, `kielto.group` and `kielto.acls`; only tests and deployment tools may import it.
"""
