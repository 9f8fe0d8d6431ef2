"""All SQL of the register, and the encryption of what it stores.

Each function works on the connection or pool that its caller gives it, on many customers at once; for one, pass a
list of one.
May import `model` and `kielto`, but not `kielto.subscriber`; `use_cases`, `projections` and `app` may import it.
"""
