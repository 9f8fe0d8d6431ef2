"""Take a decision, read it back, keep it waiting, release or void it, and write its receipt and result.

A function that takes the context owns its transaction; one that takes a connection works in its caller's.
May import `store`, `model` and `kielto`; `api`, `commands`, `consumers` and `app` may import it.
"""
