"""PostgreSQL: pools, transactions and their access-log entry, the epoch, advisory locks, migrations.

Knows no table of a service.
Imports support; every other package of `kielto.service` may import it.
"""
