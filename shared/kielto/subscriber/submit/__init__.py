"""Decisions taken at a subscriber's desk: kept in a spool on disk, sent to Kafka, their results awaited.

A no denies locally from the moment it is in the spool.
Imports gate for the local denial; the subscriber imports it.
"""
