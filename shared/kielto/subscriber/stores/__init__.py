"""Where a subscriber keeps what it read: in memory, or in its own PostgreSQL.

A store keeps rows and offsets; it decides nothing.
Imports replica, columnar and records; submit, sync and the subscriber import it.
"""
