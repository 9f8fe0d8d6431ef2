"""Errors that a user of the library or of a command may meet: `except kielto.KieltoError` catches them all."""


class KieltoError(Exception):
    """The message says what is wrong and what to do; it repeats no value that was given."""


class InvalidValueError(KieltoError, ValueError):
    """An argument or a setting cannot be used. The message names it and the rule."""


class WrongUseError(KieltoError, RuntimeError):
    """A method was called before `async with` was entered, or after it was left."""
