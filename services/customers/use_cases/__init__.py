"""What can be done with the register, one use case a module; the context that every use case takes.

A function that takes the context owns its transaction; one that takes a connection works in its caller's.
May import `store`, `model` and `kielto`; `api`, `commands`, `consumers` and `app` may import it.
"""
