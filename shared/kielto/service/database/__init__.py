"""PostgreSQL: pools, transactions and their audit-trail entry, the epoch, advisory locks, migrations.

Knows no table of a service.
May import support; every package of `kielto.service` but support, and every service, may import it.
"""
