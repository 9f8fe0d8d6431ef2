"""Decisions that people gave to this system: kept in a spool on disk, sent to Kafka, their results awaited.

A no denies locally from the moment that `submit` is called.
May import gate, stores and the packages below them; sync and the modules above it may import it.
"""
