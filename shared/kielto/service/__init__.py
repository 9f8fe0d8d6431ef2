"""What the three services share beside the contract: one package for each concern.

Packages are in layers (pyproject.toml, import contracts): process, then http and recovery, inbox, audit, outbox,
then database, then support. Services import this package; `kielto.subscriber` and `kielto.events` never do.
"""
