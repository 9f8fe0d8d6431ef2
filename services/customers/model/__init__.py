"""The rules of the register: what a customer is, how statements of several sources combine, what is published.

Pure: no input or output, and no clock but the time that is given.
May import `kielto` and no other package of the service; each of those may import it.
"""
