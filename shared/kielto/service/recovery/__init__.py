"""Epochs: what happens after a database was restored from a backup or a standby was promoted.

Scans the service's own topics and claims a new epoch before anything is published.
Imports audit, inbox, outbox, database and support; process and the services' `app` import it.
"""
