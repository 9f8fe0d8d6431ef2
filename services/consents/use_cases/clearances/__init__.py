"""Answer which of a campaign's recipients it may reach now, and record the answer first.

A function that takes the context owns its transaction; one that takes a connection works in its caller's.
May import `store`, `model` and `kielto`; `api`, `commands`, `consumers` and `app` may import it.
"""
