"""HTTP: authentication, problems (RFC 9457), idempotency keys, limits, the server.

Knows no route of a service; a service adds its routers.
May import database and support; process, recovery, auditor, inbox, audit_trail and every service may import it.
"""
