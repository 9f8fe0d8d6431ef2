"""What every package needs: settings, keys, logs, tracing, metrics, limits, the clock, supervision.

The bottom layer.
Imports nothing of `kielto.service`; every package may import it.
"""
