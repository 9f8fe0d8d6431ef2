"""Decisions that people gave to this system: kept in a spool on disk, sent to Kafka, their results awaited.

A no denies locally from the moment that `submit` is called.
Imports gate and stores; sync and the subscriber import it.
"""
