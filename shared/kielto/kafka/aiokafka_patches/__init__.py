"""Mends of aiokafka's own faults, each with the version it was seen in.

Each module names the fault and goes once aiokafka mends it.
Imports aiokafka only; `kielto.kafka` imports it.
"""
