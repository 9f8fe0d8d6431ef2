"""The auditor: compares what the outbox says was published with what Kafka really holds.

Its state stands in the service's own database; `commands` prints its findings.
Imports outbox, database and support; recovery and process import it.
"""
