"""All SQL of the service, by subject.

Each function works on the connection or pool that its caller gives it, and returns values, never database rows.
May import `model` and `kielto`, but not `kielto.subscriber`; `use_cases` and `app` may import it.
"""
