"""What has no I/O of its own or no better place: settings, keys, logs, telemetry, limits.

The bottom layer.
Imports nothing of `kielto.service`; every package may import it.
"""
