"""Epochs: what happens after a database was restored from a backup or a standby was promoted.

Scans the service's own topics and claims a new epoch before anything is published.
Imports database, support, inbox and outbox; process imports it.
"""
