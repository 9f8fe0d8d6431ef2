"""What the three services share beside the contract: one package for each concern.

Layers from the top: process; recovery; auditor, inbox, audit_trail; http, outbox; database; support (pyproject.toml).
May import every package of `kielto`; services and deployment tools may import it, `kielto.subscriber` never.
"""
