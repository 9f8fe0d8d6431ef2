"""marketing: whom a campaign may address, who was taken out again, and what was disclosed to partners.

`app` builds the service; `__main__` runs it.
May import `kielto`; no other service may import it.
"""
