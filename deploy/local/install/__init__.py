"""Downloads and unpacks what the local stack needs: the environment, Kafka, PostgreSQL, data sets.

Versions and hashes are in `locks/`.
May import `paths`, `ports` and `progress` of `deploy.local`; servers, commands and tests may import it.
"""
