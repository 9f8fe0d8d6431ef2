"""The access log: who read or changed which customer's data, as a hash chain of entries.

Any route that shows a person's data writes an entry in its own transaction.
Imports database and support; http and the services import it.
"""
