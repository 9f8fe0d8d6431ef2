"""All SQL of the register, and the sealing of what it keeps. Always for many customers at once: one is a
short list.
"""
