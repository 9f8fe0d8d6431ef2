"""The local copy of the group's permissions, and how fresh it is.

`follower` is pure: it says what each Kafka record does.
Imports gate, records and columnar; sync and the subscriber import it.
"""
