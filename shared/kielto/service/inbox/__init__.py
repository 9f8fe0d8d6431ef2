"""What a service reads from Kafka: consumers, exactly-once intake, quarantine, freshness of the input.

A handler runs in the transaction that stores the offset.
Imports http, database and support; recovery, process and the services' `consumers` import it.
"""
