"""One session with Kafka: reading, applying to store and replica, acknowledging, comparing digests.

A record is acknowledged only after the store holds it and `on_change` returned.
May import every package of the library; only `clearance`, `session_loop`, `subscriber` and `metrics` may import it.
"""
