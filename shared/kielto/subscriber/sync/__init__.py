"""One session with Kafka: reading, applying to store and replica, acknowledging, comparing digests.

A record is acknowledged only after the store holds it and `on_change` returned.
Imports every other package here but gate; the subscriber imports it.
"""
