"""The audit trail: who read or changed which customer's data, and who was refused.

`middleware` writes it around each request, `api` shows it; `database/audit_entry.py` makes the entries.
May import http, outbox, database and support; process and recovery may import it.
"""
