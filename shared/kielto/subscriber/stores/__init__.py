"""Where a subscriber keeps what it read: in memory, or in its own PostgreSQL.

A store keeps rows and offsets; it decides nothing.
May import replica, columnar, records and support; submit, sync and the modules above them may import it.
"""
