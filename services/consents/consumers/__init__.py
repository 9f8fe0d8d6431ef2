"""Kafka handlers of consents: what the messages of each topic mean here.

A handler translates a message and calls one use case, in the transaction of the message.
Imports `use_cases`, `projections` and `model`, never `store`; `app` imports it.
"""
