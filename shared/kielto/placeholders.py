"""Placeholder values, which source systems give to many different people."""

_COUNTING = "1234567890"


def is_placeholder(digits: str) -> bool:
    """Whether `digits` is one digit repeated, or counts up from 0 or 1. It has digits only."""
    counted = len(digits) > 5 and _COUNTING.startswith(digits.removeprefix("0"))
    return len(set(digits)) <= 1 or counted
