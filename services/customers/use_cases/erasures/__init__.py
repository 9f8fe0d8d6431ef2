"""Erase a customer (GDPR article 17), and again after a backup is restored.

A function that takes the context owns its transaction; one that takes a connection works in its caller's.
May import `store`, `model` and `kielto`; `api`, `commands`, `consumers` and `app` may import it.
"""
