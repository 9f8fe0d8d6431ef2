"""Kielto: a ban on direct marketing, said once, true everywhere, and proven.

`kielto.events` is the contract (what travels on Kafka), `kielto.group` the group of companies as data,
`kielto.subscriber` the library for systems outside, `kielto.service` the plumbing of our own services.
"""

from kielto.errors import KieltoError

__all__ = ["KieltoError"]
