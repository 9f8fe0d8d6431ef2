"""HTTP: authentication, problems (RFC 9457), idempotency keys, limits, the server.

Knows no route of a service; a service adds its routers.
Imports database and support; access, inbox, process and the services' `api` import it.
"""
