"""HTTP: the application, authentication, problems (RFC 9457), idempotency keys, limits, the server.

Knows no route of a service; a service adds its routers.
Imports access, database and support; process and the services' `api` import it.
"""
