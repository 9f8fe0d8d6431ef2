"""Values that stand where a value was missing, and that many strangers share."""

_COUNTING = "1234567890"


def is_placeholder(digits: str) -> bool:
    """Nothing but one digit repeated, or digits counted up from 0 or 1. `digits` has no other characters."""
    counted = len(digits) > 5 and _COUNTING.startswith(digits.removeprefix("0"))
    return len(set(digits)) <= 1 or counted
