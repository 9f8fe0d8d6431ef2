"""The local copy of the group's permissions, and how fresh it is.

`follower` says what each Kafka record changes; it does no input or output.
May import columnar, records and support; the packages above it and `kielto.service` may import it.
"""
