"""The local copy of the group's permissions, and how fresh it is.

`follower` says what each Kafka record changes; it does no input or output.
Imports columnar and records; gate, stores and sync import it.
"""
