"""Permission records as they arrive: what is kept of one, and how one is read.

A record that cannot be read denies its subject.
May import support and `kielto.events`; every package of the library but support, and services, may import it.
"""
