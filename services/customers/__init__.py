"""customers: who people are. People, organisations, contact persons and possible users, and how to reach them.

`app` builds the service; `__main__` runs it.
May import `kielto`; no other service may import it.
"""
