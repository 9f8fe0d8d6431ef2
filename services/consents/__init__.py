"""consents: what may be said to whom. Takes decisions and facts, keeps permissions, proves where each decision is.

`app` builds the service; `__main__` runs it.
May import `kielto`; no other service may import it.
"""
