"""Permission records as they arrive: parsed one by one, or recognised in batches.

A record that cannot be read denies its subject.
Imports `kielto.events` only; every other package here may import it.
"""
