"""Epochs: what happens after a database was restored from a backup or a standby was promoted.

Scans the service's own topics and claims a new epoch before anything is published.
May import every package of `kielto.service` but process; process and every service may import it.
"""
