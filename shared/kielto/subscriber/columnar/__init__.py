"""The records of a large group in numpy columns: about 66 bytes a customer.

A table of rows, its hash index, records decoded in blocks, and one question answered for very many customers.
Imports records; gate, replica, stores and sync import it. Nothing outside this package imports numpy.
"""
