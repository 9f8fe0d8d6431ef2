"""The records of a large group in numpy columns: about 66 bytes a customer.

No other package of the library imports numpy.
May import records and support; every package of the library but these two may import it.
"""
