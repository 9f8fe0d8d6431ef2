"""What every package of the library uses: clocks, throttled warnings, checks of settings, and why it is not ready.

Holds no state of a subscriber.
May import no other package of the library, as the bottom layer; every one, and `kielto.service`, may import it.
"""
