"""The base of this library's own errors, for whoever wants to catch them all."""


class KieltoError(Exception):
    """The message says what is wrong and what to do; it repeats no value that was given."""
