"""What a service publishes: outbox rows, the relay that sends them, heartbeats, backfills, tombstones.

A row is written in the caller's transaction; only the relay produces to Kafka.
May import database and support; process, recovery, auditor, inbox, audit_trail and every service may import it.
"""
