"""What a service reads from Kafka: consumers, exactly-once intake, quarantine, freshness of the input.

A handler runs in the transaction that stores the offset.
May import http, outbox, database and support; process, recovery and every service may import it.
"""
