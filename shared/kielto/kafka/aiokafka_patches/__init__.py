"""Corrections of faults in aiokafka, each with the version it was seen in.

Each module names the fault; delete it when aiokafka is fixed.
May import aiokafka, `kielto.events` and `kielto.kafka`; only `kielto.kafka` may import it.
"""
