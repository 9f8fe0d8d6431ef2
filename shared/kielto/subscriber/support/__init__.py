"""What every package of the library uses: clocks, throttled warnings, checks of settings, and why it is not ready.

Imports `kielto.kafka` and `kielto.events` only; every other package but records and columnar imports it.
"""
