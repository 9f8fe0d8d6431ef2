"""Kafka handlers: what the messages of each topic mean to consents.

A handler translates a message and calls one use case, in the transaction of the message.
May import `use_cases`, `projections`, `model` and `kielto`, never `store`; only `app` may import it.
"""
