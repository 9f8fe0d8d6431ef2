"""Permission records as they arrive: what is kept of one, and how one is read.

A record that cannot be read denies its subject.
Imports `kielto.events` only; every other package here but submit imports it.
"""
