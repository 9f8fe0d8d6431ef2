"""The rules of a campaign: what it may ask for, which states it passes, what it publishes.

Pure: no input or output, and no clock but the time that is given.
May import `kielto` and no other package of the service; each of those may import it.
"""
