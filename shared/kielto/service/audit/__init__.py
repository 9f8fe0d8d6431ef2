"""The auditor: compares what the outbox says was published with what Kafka really holds.

Its state stands in the service's own database; `commands` prints its findings.
Imports database, support and outbox; process imports it.
"""
