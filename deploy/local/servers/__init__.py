"""The servers of the local stack as processes: Kafka, PostgreSQL, and the watcher that ends them.

Nothing outlives the command that started it.
May import install and the modules of `deploy.local`; commands, the demo and tests may import it.
"""
