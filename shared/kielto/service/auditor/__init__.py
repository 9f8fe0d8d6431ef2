"""The auditor: compares what the outbox says was published with what Kafka really holds.

Its state is in the service's own database; `commands` prints its findings.
May import http, outbox, database and support; process and recovery may import it.
"""
