"""What the service does, one use case a module: create, launch, recall, close and report on campaigns.

A function that takes the context owns its transaction; one that takes a connection works in its caller's.
May import `store`, `model` and `kielto`; `api`, `commands`, `consumers` and `app` may import it.
"""
