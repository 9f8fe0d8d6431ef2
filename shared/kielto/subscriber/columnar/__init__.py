"""The records of a large group in numpy columns: about 66 bytes a customer.

A table of rows, a hash index, and what rows have in common.
Imports records; replica imports it. Nobody else meets numpy.
"""
