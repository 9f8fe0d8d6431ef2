"""PostgreSQL: the pool, transactions with retry, migrations and the tables that every service has.

All SQL of the shared packages that is not one table's own stands here.
Imports support only; every other package of `kielto.service` may import it.
"""
