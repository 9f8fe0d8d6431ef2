"""What a service publishes: outbox rows, the relay that sends them, heartbeats, backfills, tombstones.

A row is written in the caller's transaction; only the relay produces to Kafka.
Imports database and support; audit, recovery, process and the services' use cases import it.
"""
