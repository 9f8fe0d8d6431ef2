"""What every package of the library uses: the brokers and why they cannot be used, warnings, checks of settings.

Knows no record and no store.
May import no other package of the library, as the bottom layer; every one, and `kielto.service`, may import it.
"""
