"""The servers of the local stack as processes: Kafka, PostgreSQL, and the watcher that ends them.

Nothing outlives the command that started it.
Imports install; commands, tests and the demo import it.
"""
