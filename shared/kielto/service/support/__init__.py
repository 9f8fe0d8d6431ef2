"""What every package needs: settings, keys, logs, tracing, metrics, limits, supervision.

Knows neither HTTP nor the database.
The bottom layer: may import no other package of `kielto.service`; each of those and every service may import it.
"""
