"""Downloads and unpacks what the local stack needs: the environment, Kafka, PostgreSQL, data sets.

Versions and hashes stand in `locks/`.
Imports `deploy.local.paths`; servers and the tests import it.
"""
