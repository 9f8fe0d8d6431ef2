"""The demo: bans through real processes, verified by what the receivers answer.

Passes only by the answers of the receivers' own gates.
May import `kielto.subscriber`, servers and install; only `./kielto` may import it.
"""
